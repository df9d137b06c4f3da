/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory in which all processes of this host record their metrics, mapped for reading. Its content is only numbers, written
 * by processes that may be compromised: any value is possible, and no process can write for another one.
 */
#ifndef DIAG_FIGURES_H
#define DIAG_FIGURES_H

#include "base/clock.h"
#include "base/error.h"
#include "base/metrics.h"

struct service;

struct figures {
        /* By the number of the process (METRIC_PROCESSES), also of those that this host does not need; name NULL: there is no such process. */
        struct figures_process {
                const char *name;
                const void *memory;
        } of[METRIC_PROCESSES];
};

/* Maps the descriptors that this process was started with. */
struct error *figures_map(struct figures *f, struct service *s) MUST_USE;

/* Whether this host runs the process, or is to run it. */
bool figures_is_here(const struct figures *f, size_t number);
/* The process of that name; NULL: it is not here. */
const struct figures_process *figures_find(const struct figures *f, const char *name);

/* The phase of the process with that number, as the supervisor has recorded it. */
enum process_phase figures_phase(const struct figures *f, size_t number);
/* Whether what the process itself has recorded is current: it runs. */
bool figures_is_running(const struct figures *f, size_t number);
/* Time by which the loop of the process is late; 0 as well if it has none. */
struct duration figures_lag(const struct figures *f, size_t number, struct instant now);

#endif
