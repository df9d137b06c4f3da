/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/compiler.h"

/*
 * Segments that are only read: tables of the dynamic loader and constants. Code is left alone: breakpoints of a debugger or a
 * tracer (uprobes) are copies of its pages that are private to the process, and would be lost.
 */
static int drop_constants(struct dl_phdr_info *object, size_t size, void *ctx)
{
        const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

        (void)size;
        (void)ctx;
        for (size_t i = 0; i < object->dlpi_phnum; i++) {
                const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
                uintptr_t start = object->dlpi_addr + segment->p_vaddr, end = (start + segment->p_filesz) / page * page;

                start = (start + page - 1) / page * page;
                if (segment->p_type == PT_LOAD && segment->p_flags == PF_R && start < end)
                        (void)madvise((void *)start, end - start, MADV_DONTNEED); /* a failure leaves the pages where they are */
        }
        return 0;
}

/*
 * Pages of the main thread's stack below the frame of this function: calls at the start went deeper than the loop does. At an execve the kernel maps
 * 128 KiB below the strings of the program, among them the bytes of AT_RANDOM (Linux, setup_arg_pages), so this range is always of the stack.
 */
static __attribute__((noinline)) void drop_unused_stack(void)
{
        enum { DROPPED_MAX = 96 * KiB };
        const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = getauxval(AT_RANDOM) / page * page - DROPPED_MAX;
        const uintptr_t end = (uintptr_t)__builtin_frame_address(0) / page * page - page; /* the frame of madvise() is above */

        if (start < end && end < start + DROPPED_MAX)
                (void)madvise((void *)start, end - start, MADV_DONTNEED);
}

void mem_trim(void)
{
        malloc_trim(0);
        drop_unused_stack();
        dl_iterate_phdr(drop_constants, NULL);
}
