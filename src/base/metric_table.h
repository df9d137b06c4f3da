/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of metrics: one row for each metric of /metrics. Names and types are Teleport's where Teleport has the metric, or
 * those of Prometheus' client libraries (process_…); all others begin with cteleport_.
 *
 *      METRIC(id, type, unit, process, name, labels, help)
 *
 * process  the process that writes it, as the table of services names it, and the only one from whose memory it is read;
 *          EVERY: each process writes its own, and the label `process` names it; "supervisor"; "diag": computed for the answer
 * labels   at most METRIC_LABELS_MAX, separated by blanks, each a name with all its values: "method=iam|token". The last value
 *          stands for all others. "process" without values: one for each process, written by the supervisor
 *
 * scripts/reference makes docs/reference/metrics.md from it.
 */
#ifndef BASE_METRIC_TABLE_H
#define BASE_METRIC_TABLE_H

/* clang-format off */
#define METRIC_TABLE(METRIC) \
        METRIC(BUILD_INFO, GAUGE, NUMBER, "diag", "teleport_build_info", "", \
               "1; the label `version` has the version of this build.") \
        METRIC(PROCESS_STATE, GAUGE, NUMBER, "diag", "process_state", "", \
               "State of this host as in /readyz: 0 ok, 1 recovering, 2 degraded, 3 starting.") \
        METRIC(PART, GAUGE, NUMBER, "diag", "cteleport_part_ready", "part=processes|cluster|tunnels|store|audit|disk|auth", \
               "1 if this part of /readyz is ready, otherwise 0.") \
        METRIC(HEALTH, GAUGE, NUMBER, EVERY, NULL, "part=cluster|tunnels|store|audit|disk|auth", \
               "enum health of each part; shown as cteleport_part_ready and in /readyz.") \
        METRIC(LOOP_DUE, GAUGE, NANOSECONDS, EVERY, NULL, "", \
               "Time of the monotonic clock at which the event loop runs its next check.") \
        METRIC(LOOP_LAG, GAUGE, NANOSECONDS, EVERY, "cteleport_event_loop_lag_seconds", "", \
               "Time by which the event loop ran its last check too late, or by which the next one is overdue.") \
        METRIC(PROCESS_PHASE, GAUGE, NUMBER, "supervisor", NULL, "process", \
               "enum process_phase of each process.") \
        METRIC(PROCESS_UP, GAUGE, NUMBER, "diag", "cteleport_process_up", "process", \
               "1 if the process runs and is ready, otherwise 0.") \
        METRIC(PROCESS_STARTS, COUNTER, NUMBER, "supervisor", "cteleport_process_starts_total", "process", \
               "Starts of the process since the start of teleport; more than 1: it has ended and was started again.") \
        METRIC(PROCESS_MEMORY, GAUGE, NUMBER, "supervisor", "process_resident_memory_bytes", "process", \
               "Resident memory of the process in bytes, shared pages included.") \
        METRIC(PROCESS_FDS, GAUGE, NUMBER, "supervisor", "process_open_fds", "process", \
               "Open file descriptors of the process.") \
        METRIC(PROCESS_MAX_FDS, GAUGE, NUMBER, "supervisor", "process_max_fds", "process", \
               "Limit of open file descriptors of the process.") \
        METRIC(PROCESS_CPU, COUNTER, NANOSECONDS, "supervisor", "process_cpu_seconds_total", "process", \
               "CPU time that the process has used since its start.") \
        METRIC(PROCESS_START_TIME, GAUGE, NUMBER, "supervisor", "process_start_time_seconds", "process", \
               "Unix time of the start of the process.")
/* clang-format on */

#endif
