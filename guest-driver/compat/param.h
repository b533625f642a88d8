/* SPDX-License-Identifier: GPL-2.0-only */
/* Parameters with bounds: the kernel's own came with 5.15, and late to 5.10. */
#ifndef TMEM_COMPAT_PARAM_H
#define TMEM_COMPAT_PARAM_H

#include <linux/kernel.h>
#include <linux/moduleparam.h>

/* Sets an unsigned parameter of @least to @most. Returns 0 or an errno. */
static inline int tmem_param_set_uint(const char *value,
				      const struct kernel_param *param,
				      unsigned int least, unsigned int most)
{
	unsigned int number;
	int err = kstrtouint(value, 0, &number);

	if (err)
		return err;
	if (number < least || number > most)
		return -EINVAL;
	WRITE_ONCE(*(unsigned int *)param->arg, number);
	return 0;
}

#endif
