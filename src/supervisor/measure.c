/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/process_stat.h"
#include "supervisor/internal.h"

/* The number of a child as a value of the label `process`. */
static size_t number_of(const struct child *c)
{
        return 1 + (size_t)(c - c->sup->children);
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

/*
 * The size is sealed, so that no process can shorten a file that another one has mapped. `diag` gets a descriptor that
 * cannot write.
 */
static struct error *open_memory(struct supervisor *s, size_t number)
{
        AUTO_MEM char *path = NULL;
        int fd = memfd_create("metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0)
                return error_errno(errno, "cannot make the memory of the metrics");
        s->metrics.fds[number] = fd;
        if (ftruncate(fd, (off_t)metrics_size_with_room()) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
                return error_errno(errno, "cannot set the size of the memory of the metrics");
        path = mem_printf("/proc/self/fd/%d", fd);
        s->metrics.readers[number] = open(path, O_RDONLY | O_CLOEXEC);
        if (s->metrics.readers[number] < 0)
                return error_errno(errno, "cannot open the memory of the metrics");
        return NULL;
}

static struct error *attach_own(const struct supervisor *s)
{
        void *memory = mmap(NULL, metrics_size(), PROT_READ | PROT_WRITE, MAP_SHARED, s->metrics.fds[0], 0);

        if (memory == MAP_FAILED)
                return error_errno(errno, "cannot map the memory of the metrics");
        metrics_attach(memory);
        return NULL;
}

static bool has_diag(const struct supervisor *s)
{
        for (size_t i = 0; i < s->child_count; i++)
                if (s->children[i].row->needs_diag && s->children[i].state != CHILD_ABSENT)
                        return true;
        return false;
}

struct error *supervisor_open_metrics(struct supervisor *s)
{
        if (!has_diag(s))
                return NULL;
        TRY(open_memory(s, 0));
        for (size_t i = 0; i < s->child_count; i++) /* also of those that this host does not need: a reload may start them */
                TRY(open_memory(s, number_of(&s->children[i])));
        return attach_own(s);
}

static void add_fd(struct child_fds *fds, const char *name, int fd)
{
        if (fd >= 0)
                child_fds_add(fds, name, fd);
}

void supervisor_add_metrics(const struct child *c, struct child_fds *fds)
{
        const struct supervisor *s = c->sup;

        add_fd(fds, "metrics", s->metrics.fds[number_of(c)]);
        if (!c->row->needs_diag)
                return;
        add_fd(fds, METRICS_SUPERVISOR, s->metrics.readers[0]);
        for (size_t i = 0; i < s->child_count; i++)
                add_fd(fds, child_name(&s->children[i]), s->metrics.readers[number_of(&s->children[i])]);
}

void supervisor_release_metrics(struct supervisor *s)
{
        timer_free(s->metrics.pace);
        for (size_t i = 0; i < METRIC_PROCESSES; i++) {
                fd_close_at(&s->metrics.fds[i]);
                fd_close_at(&s->metrics.readers[i]);
        }
}

/* ---- figures --------------------------------------------------------------------------------------------- */

/* From Linux 6.2 on, the size of the directory is the number of its entries. -1: not known. */
static int64_t count_descriptors(pid_t pid)
{
        AUTO_MEM char *path = mem_printf("/proc/%ld/fd", (long)pid);
        struct stat st;
        int64_t count = 0;

        if (stat(path, &st) < 0)
                return -1;
        if (st.st_size > 0)
                return st.st_size;
        DIR *dir = opendir(path);
        if (dir == NULL)
                return -1;
        while (readdir(dir) != NULL)
                count++;
        closedir(dir);
        return count - 2; /* "." and ".." */
}

static void measure(size_t number, pid_t pid)
{
        const int64_t ticks = sysconf(_SC_CLK_TCK);
        struct process_stat stat;

        if (!process_stat_read(pid, &stat)) { /* it has ended */
                metric_set_at(METRIC_PROCESS_MEMORY, number, -1);
                metric_set_at(METRIC_PROCESS_FDS, number, -1);
                return;
        }
        metric_set_at(METRIC_PROCESS_MEMORY, number, (int64_t)stat.resident * sysconf(_SC_PAGESIZE));
        metric_set_at(METRIC_PROCESS_CPU, number, (int64_t)stat.cpu * (1000000000 / ticks));
        metric_set_at(METRIC_PROCESS_FDS, number, count_descriptors(pid == 0 ? getpid() : pid));
}

static void measure_all(struct supervisor *s)
{
        measure(0, 0);
        for (size_t i = 0; i < s->child_count; i++)
                if (child_lives(&s->children[i]))
                        measure(number_of(&s->children[i]), s->children[i].pid);
}

static void on_pace(void *ctx)
{
        struct supervisor *s = ctx;

        measure_all(s);
        timer_start(s->metrics.pace, MILLISECONDS(PACE_HEALTH_CHECK));
}

/* What does not change while a process runs. */
static void note_start(size_t number)
{
        struct rlimit limit;

        metric_add_at(METRIC_PROCESS_STARTS, number, 1);
        metric_set_at(METRIC_PROCESS_START_TIME, number, walltime_unix(clock_wall(clock_system())));
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) /* the children inherit it */
                metric_set_at(METRIC_PROCESS_MAX_FDS, number, limit.rlim_cur > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur);
}

void supervisor_show_web_end(const struct supervisor *s)
{
        if (metrics_are_on())
                metric_set(METRIC_CERTIFICATE_END, "web", "", walltime_unix(web_keypairs_end(&s->keypairs)));
}

void supervisor_watch_metrics(struct supervisor *s)
{
        if (!metrics_are_on())
                return;
        note_start(0);
        supervisor_show_web_end(s);
        metric_set_at(METRIC_PROCESS_PHASE, 0, PROCESS_READY);
        s->metrics.pace = timer_new(&s->loop, on_pace, s);
        timer_unref(s->metrics.pace);
        on_pace(s);
}

void supervisor_note_stop(void)
{
        metric_set_at(METRIC_PROCESS_PHASE, 0, PROCESS_DOWN);
}

void supervisor_note_phase(const struct child *c)
{
        static const enum process_phase phases[] = {
                [CHILD_ABSENT] = PROCESS_ABSENT,     [CHILD_PAUSING] = PROCESS_DOWN, [CHILD_STOPPED] = PROCESS_DOWN,
                [CHILD_STARTING] = PROCESS_STARTING, [CHILD_READY] = PROCESS_READY,  [CHILD_EXITED] = PROCESS_DOWN,
        };

        /* while a new process starts beside the former one, that one serves */
        metric_set_at(METRIC_PROCESS_PHASE, number_of(c), c->former != NULL ? PROCESS_READY : phases[c->state]);
        if (c->state == CHILD_STARTING)
                note_start(number_of(c));
        if (child_lives(c) && metrics_are_on())
                measure(number_of(c), c->pid);
}
