/* SPDX-License-Identifier: GPL-2.0-only OR BSD-3-Clause */

#ifndef TMEM_ABI_H
#define TMEM_ABI_H

/* Made from the crate hypercall-abi; UPDATE_ABI_HEADER=1 cargo test -p hypercall-abi rewrites it. */

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define TMEM_ALIGNED(n) __attribute__((aligned(n)))

/* ACPI hardware id of the device that a guest driver binds to. */
#define TMEM_ACPI_HID "TMEM0001"


/*
 Version of the interface that this crate describes.
 */
#define TMEM_ABI_VERSION 1

/*
 log2 of the page size.
 */
#define TMEM_PAGE_SHIFT 12

/*
 Size of a page in bytes.
 */
#define TMEM_PAGE_SIZE (1 << TMEM_PAGE_SHIFT)

/*
 Largest number of entries of one batch.
 */
#define TMEM_BATCH_MAX 64

/*
 Largest pool id that `POOL_NEW` returns; ids start at 1.
 */
#define TMEM_POOL_ID_MAX 2147483647

/*
 Begins a new life of the guest: all its earlier pools are gone before this answers.
 */
#define TMEM_CALL_HELLO 256

/*
 Creates a pool.
 */
#define TMEM_CALL_POOL_NEW 257

/*
 Destroys a pool and everything in it.
 */
#define TMEM_CALL_POOL_DESTROY 258

/*
 Stores a page.
 */
#define TMEM_CALL_PUT 259

/*
 Loads a page.
 */
#define TMEM_CALL_GET 260

/*
 Invalidates a range of indexes of one object.
 */
#define TMEM_CALL_FLUSH_RANGE 261

/*
 Invalidates an object.
 */
#define TMEM_CALL_FLUSH_OBJECT 262

/*
 Runs several puts, gets and range flushes in order.
 */
#define TMEM_CALL_BATCH 263

/*
 Asks for the present events; clears nothing.
 */
#define TMEM_CALL_EVENTS 264

/*
 Tells the host how the guest's memory is doing.
 */
#define TMEM_CALL_REPORT 265

/*
 `HELLO`: persistent pools.
 */
#define TMEM_FEATURE_PERSISTENT (1 << 0)

/*
 `HELLO`: ephemeral pools.
 */
#define TMEM_FEATURE_EPHEMERAL (1 << 1)

/*
 `HELLO`: the `BATCH` call.
 */
#define TMEM_FEATURE_BATCH (1 << 2)

/*
 `HELLO`: the `EVENTS` call. Its interrupt is reserved: version 1 never raises it.
 */
#define TMEM_FEATURE_EVENTS (1 << 3)

/*
 `HELLO`: the `REPORT` call.
 */
#define TMEM_FEATURE_REPORT (1 << 4)

/*
 `POOL_NEW`: accepted pages are kept until flushed. Without it the pool is ephemeral.
 */
#define TMEM_POOL_PERSISTENT (1 << 0)

/*
 `POOL_NEW`: the pool that the host filled from the image with the given UUID; ephemeral only.
 */
#define TMEM_POOL_SHARED (1 << 1)

/*
 `GET`: the page leaves the store once it is copied out.
 */
#define TMEM_GET_EXCLUSIVE (1 << 0)

/*
 `EVENTS`: the host asks the guest to hold fewer pages.
 */
#define TMEM_EVENT_SHRINK (1 << 0)

/*
 `EVENTS`: new puts are rejected at present.
 */
#define TMEM_EVENT_FROZEN (1 << 1)

/*
 Size of a [`BatchEntry`] in bytes.
 */
#define TMEM_BATCH_ENTRY_SIZE 64

/*
 Offset of [`BatchEntry::status`] in bytes.
 */
#define TMEM_BATCH_STATUS_OFFSET 4

/*
 `Report::flags`: the guest is about to start its OOM killer.
 */
#define TMEM_REPORT_ABOUT_TO_OOM (1 << 0)

/*
 Size of the version 1 [`Report`] in bytes, the least that `REPORT` takes.
 */
#define TMEM_REPORT_SIZE 56

/*
 Largest `Report::size` that `REPORT` takes; bytes behind [`REPORT_SIZE`] must be 0 for a host of version 1.
 */
#define TMEM_REPORT_SIZE_MAX 4096

/*
 Done.
 */
#define TMEM_STATUS_OK 0

/*
 `GET`: no such page.
 */
#define TMEM_STATUS_MISS 1

/*
 `GET`: no such page, and the whole pool is empty: stop asking until the next accepted put.
 */
#define TMEM_STATUS_EMPTY 2

/*
 First status that is a rejection of a put.
 */
#define TMEM_STATUS_REJECT_FIRST 16

/*
 `PUT` rejected: the host has no room.
 */
#define TMEM_STATUS_NO_SPACE 16

/*
 `PUT` rejected: the client is at its limit.
 */
#define TMEM_STATUS_OVER_LIMIT 17

/*
 `PUT` rejected: the client is frozen.
 */
#define TMEM_STATUS_FROZEN 18

/*
 `PUT` rejected: the page does not compress well enough for the policy in force.
 */
#define TMEM_STATUS_POOR_RATIO 19

/*
 `PUT` rejected for the moment.
 */
#define TMEM_STATUS_BUSY 20

/*
 Last status that is a rejection; a guest treats one it does not know as a rejection.
 */
#define TMEM_STATUS_REJECT_LAST 255

/*
 No such call, or not made as the interface demands.
 */
#define TMEM_STATUS_BAD_CALL -1

/*
 The ABI version is not spoken here, or no `HELLO` came before this call.
 */
#define TMEM_STATUS_BAD_VERSION -2

/*
 No such pool.
 */
#define TMEM_STATUS_BAD_POOL -3

/*
 A frame or an address is not guest RAM, or an array is misaligned or leaves its RAM region.
 */
#define TMEM_STATUS_BAD_ADDRESS -4

/*
 An unknown flag, a reserved field that is set, or a number out of range.
 */
#define TMEM_STATUS_BAD_ARGUMENT -5

/*
 The caller may not do this.
 */
#define TMEM_STATUS_DENIED -6

/*
 The host cannot keep more of this kind (pools, objects) for the client.
 */
#define TMEM_STATUS_NO_RESOURCES -7

/*
 One entry of a batch: 64 bytes, 64-byte aligned.

 The array is one contiguous range inside one RAM region, of at most [`BATCH_MAX`](crate::BATCH_MAX) entries. It is
 copied in once before it is read; only `status` is written back.

 ```text
  0     2     4       8     12     16                    40      48             64
  ┌─────┬─────┬───────┬─────┬──────┬─────────────────────┬───────┬──────────────┐
  │call │flags│status │pool │index │ object (3 × u64)    │ frame │ reserved (0) │
  └─────┴─────┴───────┴─────┴──────┴─────────────────────┴───────┴──────────────┘
 ```
 */
struct TMEM_ALIGNED(64) tmem_batch_entry {
  /*
   Low 16 bits of the call number: `PUT`, `GET` or `FLUSH_RANGE`.
   */
  uint16_t call;
  /*
   Flags of the call (`GET_EXCLUSIVE`); 0 for the others.
   */
  uint16_t flags;
  /*
   Written by the host: the status of this entry.
   */
  int32_t status;
  /*
   Pool id.
   */
  uint32_t pool;
  /*
   Page index, or the first of a range.
   */
  uint32_t index;
  /*
   Object id.
   */
  uint64_t object[3];
  /*
   Frame of the page; for `FLUSH_RANGE` the count of indexes.
   */
  uint64_t frame;
  /*
   Must be 0.
   */
  uint64_t reserved[2];
};

/*
 What a guest tells about its memory. Fields are only ever appended.
 */
struct tmem_report {
  /*
   Size of the record in bytes, this field included.
   */
  uint32_t size;
  /*
   `REPORT_*` bits.
   */
  uint32_t flags;
  /*
   PSI memory `some avg10`, in hundredths of a percent (0 … 10 000).
   */
  uint32_t psi_some;
  /*
   PSI memory `full avg10`, in hundredths of a percent (0 … 10 000).
   */
  uint32_t psi_full;
  /*
   Memory committed, in pages.
   */
  uint64_t committed_pages;
  /*
   Free memory, in pages.
   */
  uint64_t free_pages;
  /*
   Total memory the guest's kernel manages, in pages.
   */
  uint64_t total_pages;
  /*
   Pages swapped in since boot.
   */
  uint64_t swap_in_pages;
  /*
   Pages swapped out since boot.
   */
  uint64_t swap_out_pages;
};





#endif  /* TMEM_ABI_H */
