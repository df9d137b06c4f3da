/* SPDX-License-Identifier: Apache-2.0 */
#include "diag/figures.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "api/service.h"
#include "base/mem.h"

static struct error *map(struct figures *f, struct service *s, size_t number, const char *name)
{
        AUTO_FD int fd = service_take_fd(s, name);

        if (fd < 0)
                return NULL;
        void *memory = mmap(NULL, metrics_size(), PROT_READ, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
                return error_errno(errno, "cannot map the metrics of '%s'", name);
        f->of[number] = (struct figures_process){ name, memory };
        return NULL;
}

struct error *figures_map(struct figures *f, struct service *s)
{
        const struct service_process *process;

        *f = (struct figures){ 0 };
        TRY(map(f, s, 0, METRICS_SUPERVISOR));
        for (size_t i = 0; 1 + i < METRIC_PROCESSES && (process = services_process_at(i)) != NULL; i++)
                TRY(map(f, s, 1 + i, process->name));
        if (f->of[0].memory == NULL)
                return error_new(ERROR_FAILED_PRECONDITION, "the memory of the metrics is missing");
        return NULL;
}

bool figures_is_here(const struct figures *f, size_t number)
{
        return f->of[number].name != NULL && figures_phase(f, number) != PROCESS_ABSENT;
}

const struct figures_process *figures_find(const struct figures *f, const char *name)
{
        for (size_t i = 0; i < METRIC_PROCESSES; i++)
                if (figures_is_here(f, i) && strcmp(f->of[i].name, name) == 0)
                        return &f->of[i];
        return NULL;
}

enum process_phase figures_phase(const struct figures *f, size_t number)
{
        int64_t phase = metric_value(f->of[0].memory, METRIC_PROCESS_PHASE, number);

        return phase > PROCESS_ABSENT && phase <= PROCESS_READY ? (enum process_phase)phase : PROCESS_ABSENT;
}

bool figures_is_running(const struct figures *f, size_t number)
{
        return f->of[number].name != NULL && figures_phase(f, number) >= PROCESS_STARTING;
}

struct duration figures_lag(const struct figures *f, size_t number, struct instant now)
{
        const int64_t due = metric_value(f->of[number].memory, METRIC_LOOP_DUE, 0);
        const int64_t last = metric_value(f->of[number].memory, METRIC_LOOP_LAG, 0);
        const int64_t late = due > 0 && now.ns > due ? now.ns - due : 0;

        return (struct duration){ late > last ? late : last < 0 ? 0 : last };
}
