// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading and unloading: finding the host, beginning a new life with it, and
 * starting the front end that was asked for.
 */
#include <linux/acpi.h>
#include <linux/ioport.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/suspend.h>

#include "batch.h"
#include "calls.h"
#include "cleancache.h"
#include "counters.h"
#include "driver.h"
#include "frontswap.h"
#include "swapdev.h"
#include "test_store.h"
#include "transport.h"

static bool tmem_use_frontswap;
module_param_named(frontswap, tmem_use_frontswap, bool, 0444);
MODULE_PARM_DESC(frontswap,
		 "Shadow ordinary swap devices instead of making /dev/tmem0 (kernels up to 5.16, default off)");

static bool tmem_use_cleancache;
module_param_named(cleancache, tmem_use_cleancache, bool, 0444);
MODULE_PARM_DESC(cleancache,
		 "Keep clean pages of files in the host when they are evicted (kernels up to 5.16 with CONFIG_CLEANCACHE, default off)");

/*
 * The store is gone when the image of a hibernated guest comes back. With
 * frontswap the kernel would put pages there while it shrinks its memory for
 * the image, after this was asked; so it would with a backing disk, where even
 * the header of a swap device may lie that is in use; with cleancache the file
 * systems of the image would go on with ids of pools that are another life's:
 * then the answer is always no.
 */
static int tmem_pm_notify(struct notifier_block *block, unsigned long event,
			  void *unused)
{
	u64 stored = tmem_swapdev_stored() + tmem_frontswap_stored();

	if (event != PM_HIBERNATION_PREPARE ||
	    (!stored && !tmem_swapdev_is_backed() && !tmem_use_frontswap &&
	     !tmem_use_cleancache))
		return NOTIFY_DONE;
	pr_warn("no hibernation: what is in the host's memory would be gone, %llu pages of swap and all of cleancache\n",
		stored);
	return NOTIFY_BAD;
}

static struct notifier_block tmem_pm_notifier = {
	.notifier_call = tmem_pm_notify,
};

/*
 * Last of all, since it cannot be undone. Swap goes on without it where another
 * back end was there first.
 */
static void tmem_start_cleancache(void)
{
	int err = tmem_use_cleancache ? tmem_cleancache_register() : 0;

	if (!err)
		return;
	pr_err("no cleancache, %s (%d): going on without it\n",
	       err == -EBUSY ? "it is taken" : "no memory", err);
	tmem_use_cleancache = false;
}

/* The door is known: greet the host and start. */
static int tmem_start(void)
{
	u32 batch_max;
	int err;

	if (tmem_use_cleancache && !tmem_cleancache_supported()) {
		pr_err("this kernel has no cleancache for modules\n");
		return -EOPNOTSUPP;
	}
	/* The cache of a disk may be wanted later, and this is the only greeting. */
	err = tmem_hello(TMEM_FEATURE_EPHEMERAL, &batch_max);
	if (err)
		return err;
	err = tmem_batch_init(batch_max);
	if (err)
		return err;
	err = register_pm_notifier(&tmem_pm_notifier);
	if (err)
		goto free_batches;
	err = tmem_use_frontswap ? tmem_frontswap_register() :
				   tmem_swapdev_create();
	if (!err) {
		tmem_start_cleancache();
		return 0;
	}
	if (err == -EOPNOTSUPP)
		pr_err("this kernel has no frontswap for modules\n");
	unregister_pm_notifier(&tmem_pm_notifier);
free_batches:
	tmem_batch_exit();
	return err;
}

/* The module goes, so nothing uses its pages; with a hook it never gets here. */
static void tmem_stop(void)
{
	unregister_pm_notifier(&tmem_pm_notifier);
	tmem_swapdev_destroy();
	tmem_batch_exit();
}

static bool tmem_started;

bool tmem_driver_started(void)
{
	return tmem_started;
}
EXPORT_SYMBOL_GPL(tmem_driver_started);

static int tmem_probe(struct platform_device *pdev)
{
	struct resource *port = platform_get_resource(pdev, IORESOURCE_IO, 0);
	int err;

	if (tmem_started)
		return -EBUSY;
	if (!port || port->end > U16_MAX)
		return dev_err_probe(&pdev->dev, -ENODEV, "no I/O port\n");
	if (!devm_request_region(&pdev->dev, port->start, resource_size(port),
				 "tmem"))
		return -EBUSY;
	tmem_transport_set_port(port->start);
	err = tmem_start();
	tmem_started = !err;
	return err;
}

static const struct acpi_device_id tmem_acpi_ids[] = {
	{ TMEM_ACPI_HID },
	{ }
};
MODULE_DEVICE_TABLE(acpi, tmem_acpi_ids);

/*
 * No .remove and no .shutdown: at a shutdown or kexec other CPUs may still
 * fault on pages in the store. Its pools go when the module does, or with the
 * next life.
 */
static struct platform_driver tmem_driver = {
	.probe = tmem_probe,
	.driver = {
		.name = "tmem",
		.acpi_match_table = tmem_acpi_ids,
		.suppress_bind_attrs = true,
	},
};

static int __init tmem_find_host(void)
{
	int err;

	if (tmem_test_store_on()) {
		err = tmem_start();
		tmem_started = !err;
		return err;
	}
	return platform_driver_register(&tmem_driver);
}

static int __init tmem_init(void)
{
	int err = tmem_counters_register();

	if (err)
		return err;
	err = tmem_test_store_init();
	if (err)
		goto drop_counters;
	err = tmem_find_host();
	if (!err)
		return 0;
	tmem_test_store_exit();
drop_counters:
	tmem_counters_unregister();
	return err;
}
module_init(tmem_init);

static void __exit tmem_exit(void)
{
	if (tmem_started)
		tmem_stop();
	if (!tmem_test_store_on())
		platform_driver_unregister(&tmem_driver);
	tmem_test_store_exit();
	tmem_counters_unregister();
}
module_exit(tmem_exit);

MODULE_DESCRIPTION("Transcendent memory of a tmem host");
MODULE_LICENSE("GPL");
