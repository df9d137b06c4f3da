/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/str.h"

enum { PAGE = 4096, ENTRIES_AT_ONCE = 512 };

/* An entry of /proc/PID/pagemap. */
#define PAGE_IS_PRESENT (UINT64_C(1) << 63)
#define PAGE_IS_OF_FILE (UINT64_C(1) << 61) /* not a copy that the process has written */
#define PAGE_FRAME ((UINT64_C(1) << 55) - 1)

struct frame {
        uint64_t number;
        size_t process;
        bool is_c_library;
};

struct mapping {
        unsigned long from, to;
        size_t process;
        bool is_c_library;
};

struct frames {
        struct frame *list;
        size_t count, room;
};

static void add_frame(struct frames *f, uint64_t entry, const struct mapping *m)
{
        if (!(entry & PAGE_IS_PRESENT))
                return;
        if ((entry & PAGE_FRAME) == 0)
                bug("the kernel hides page frame numbers: run this benchmark as root");
        if (f->count == f->room) {
                f->room = f->room == 0 ? 4096 : 2 * f->room;
                f->list = mem_resize(f->list, f->room, sizeof *f->list);
        }
        f->list[f->count++] = (struct frame){ entry & PAGE_FRAME, m->process, m->is_c_library && (entry & PAGE_IS_OF_FILE) };
}

static void add_mapping(struct frames *f, int pagemap, const struct mapping *m)
{
        uint64_t entries[ENTRIES_AT_ONCE];

        for (uint64_t page = m->from / PAGE, end = m->to / PAGE; page < end;) {
                size_t most = end - page < ENTRIES_AT_ONCE ? (size_t)(end - page) : ENTRIES_AT_ONCE;
                ssize_t n = pread(pagemap, entries, most * sizeof *entries, (off_t)(page * sizeof *entries));

                if (n < (ssize_t)sizeof *entries)
                        bug("the pages of a process cannot be read");
                for (size_t i = 0; i < (size_t)n / sizeof *entries; i++)
                        add_frame(f, entries[i], m);
                page += (size_t)n / sizeof *entries;
        }
}

static bool belongs_to_kernel(const char *line)
{
        return strstr(line, "[vdso]") != NULL || strstr(line, "[vvar") != NULL || strstr(line, "[vsyscall]") != NULL;
}

static bool is_c_library(const char *line)
{
        return strstr(line, "/libc.so.") != NULL || strstr(line, "/ld-linux") != NULL;
}

static void add_process(struct frames *f, pid_t pid, size_t process)
{
        AUTO_MEM char *maps_path = mem_printf("/proc/%d/maps", (int)pid), *pagemap_path = mem_printf("/proc/%d/pagemap", (int)pid);
        FILE *maps = fopen(maps_path, "re");
        int pagemap = open(pagemap_path, O_RDONLY | O_CLOEXEC);
        char *line = NULL;
        size_t room = 0;
        struct mapping m = { .process = process };

        if (maps == NULL || pagemap < 0)
                bug("the memory of process %d cannot be read", (int)pid);
        while (getline(&line, &room, maps) > 0) {
                m.is_c_library = is_c_library(line);
                if (!belongs_to_kernel(line) && sscanf(line, "%lx-%lx ", &m.from, &m.to) == 2)
                        add_mapping(f, pagemap, &m);
        }
        free(line);
        fclose(maps);
        close(pagemap);
}

static int compare_frames(const void *a, const void *b)
{
        const struct frame *x = a, *y = b;

        return (x->number > y->number) - (x->number < y->number);
}

void memory_measure(const pid_t *pids, size_t count, struct memory *memory)
{
        struct frames f = { 0 };

        memory->c_library_kib = 0;
        for (size_t i = 0; i < count; i++) {
                memory->kib[i] = 0;
                add_process(&f, pids[i], i);
        }
        qsort(f.list, f.count, sizeof *f.list, compare_frames);
        for (size_t i = 0, next; i < f.count; i = next) {
                for (next = i + 1; next < f.count && f.list[next].number == f.list[i].number;)
                        next++;
                for (size_t n = i; n < next; n++)
                        memory->kib[f.list[n].process] += PAGE / 1024.0 / (double)(next - i);
                if (f.list[i].is_c_library)
                        memory->c_library_kib += PAGE / 1024.0;
        }
        free(f.list);
}
