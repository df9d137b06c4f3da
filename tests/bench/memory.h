/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of the processes of one program, as if no other program shared its pages.
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <stddef.h>
#include <sys/types.h>

struct memory {
        double *kib;          /* of each process; the caller's */
        double c_library_kib; /* of these, pages of the C library and its loader: every other program of a machine, such as init, maps them as well */
};

/*
 * Measures the memory of each process. A page that n mappings of these processes share counts as one n-th for each, so the sum
 * counts every page once. The proportional set size (PSS) divides by the mappings of all processes of the machine instead, and
 * becomes smaller when another program uses the same library. The pages of the kernel (vdso) are left out.
 *
 * Must run as root: other users see no page frame numbers (Linux, Documentation/admin-guide/mm/pagemap.rst).
 */
void memory_measure(const pid_t *pids, size_t count, struct memory *memory);

#endif
