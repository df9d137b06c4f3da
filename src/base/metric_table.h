/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of metrics: one row for each metric of /metrics. Names and types are Teleport's where Teleport has the metric, or
 * those of Prometheus' client libraries (process_…); all others begin with cteleport_.
 *
 *      METRIC(id, type, unit, process, name, labels, help)
 *
 * process  the process that writes it, as the table of services names it, and the only one from whose memory it is read;
 *          EVERY: each process writes its own, and the label `process` names it; "supervisor"; "diag": computed for the answer
 * unit     NUMBER; NANOSECONDS, shown as seconds; TIME, in seconds since 1970, left out while it is 0
 * labels   at most METRIC_LABELS_MAX, separated by blanks, each a name with all its values: "method=iam|token". The last value
 *          stands for all others. "process" without values: one for each process, written by the supervisor
 *
 * New rows come last, and a row keeps its place, name, type, unit, process and labels: after an in-place upgrade, processes of this program
 * record in memory that the supervisor of a former one has made. A change of that kind makes `teleport reload` refuse the upgrade on hosts
 * with diag_addr until a restart, so it needs a line in CHANGELOG.md.
 *
 * scripts/reference makes docs/reference/metrics.md from it.
 */
#ifndef BASE_METRIC_TABLE_H
#define BASE_METRIC_TABLE_H

#ifndef METRIC_TABLE_APPENDED /* tests/services: rows of a later program, for tests of an upgrade */
#define METRIC_TABLE_APPENDED(METRIC)
#endif

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
               "Unix time of the start of the process.") \
        METRIC(LOOP_TURNS, HISTOGRAM, NANOSECONDS, EVERY, "cteleport_event_loop_turn_seconds", "", \
               "Time that a turn of the event loop has taken, without the wait for events: all other peers wait for it.") \
        METRIC(CERTIFICATE_END, GAUGE, TIME, EVERY, "cteleport_certificate_not_after_seconds", "certificate=host|web|host_ca|user_ca", \
               "Unix time at which the certificate expires: the first one of several, or the active one of a CA.") \
        METRIC(JOINS, COUNTER, NUMBER, "auth", "cteleport_joins_total", "method=iam|token|other result=joined|refused|failed", \
               "Joins of hosts by method and result: refused by a rule, a lock or the token; failed for any other reason.") \
        METRIC(JOIN_SECONDS, HISTOGRAM, NANOSECONDS, "auth", "cteleport_join_seconds", "", \
               "Time from the first message of a successful join to its answer.") \
        METRIC(STS_SECONDS, HISTOGRAM, NANOSECONDS, "sts", "cteleport_sts_request_seconds", "outcome=identified|refused|unreachable|malformed", \
               "Time of a request to AWS STS, with its repetitions, by outcome.") \
        METRIC(GENERATE_REQUESTS, COUNTER, NUMBER, "auth", "auth_generate_requests_total", "", \
               "Requests to the signer for certificates of hosts and users.") \
        METRIC(GENERATE_SECONDS, HISTOGRAM, NANOSECONDS, "auth", "auth_generate_seconds", "", \
               "Time of a request to the signer.") \
        METRIC(LOGINS, COUNTER, NUMBER, "auth", "user_login_total", "", \
               "Logins of users.") \
        METRIC(FAILED_LOGINS, COUNTER, NUMBER, "auth", "failed_login_attempts_total", "", \
               "Refused logins of users.") \
        METRIC(HOSTS, GAUGE, NUMBER, "auth", "teleport_connected_resources", "type=node", \
               "Hosts with a heartbeat that has not expired.") \
        METRIC(CONNECTIONS, GAUGE, NUMBER, "auth", "cteleport_connections_open", "", \
               "SSH connections of users to the nodes of the cluster that are open.") \
        METRIC(STORE_WRITES, COUNTER, NUMBER, "auth", "backend_write_requests_total", "", \
               "Transactions of the store that write.") \
        METRIC(STORE_FAILURES, COUNTER, NUMBER, "auth", "backend_write_requests_failed_total", "", \
               "Transactions of the store that failed, for example on a full disk; not those whose requirements were not met.") \
        METRIC(STORE_SECONDS, HISTOGRAM, NANOSECONDS, "auth", "backend_write_seconds", "", \
               "Time of a batch of transactions of the store, commit included.") \
        METRIC(STORE_SYNC, HISTOGRAM, NANOSECONDS, "auth", "cteleport_store_commit_seconds", "", \
               "Time of the commit of a batch alone: the write of its log and one fsync.") \
        METRIC(AUDIT_EVENTS, COUNTER, NUMBER, "auth", "teleport_audit_emit_events", "", \
               "Events that were written to the audit log.") \
        METRIC(AUDIT_FAILURES, COUNTER, NUMBER, "auth", "audit_failed_emit_events", "", \
               "Events that could not be written to the audit log at the first attempt, or were left out.") \
        METRIC(AUDIT_WAITING, GAUGE, NUMBER, "auth", "cteleport_audit_waiting_bytes", "", \
               "Bytes of events that wait to be written to the audit log.") \
        METRIC(AUDIT_SYNC, HISTOGRAM, NANOSECONDS, "auth", "cteleport_audit_write_seconds", "", \
               "Time of the write and the fsync of a batch of the audit log.") \
        METRIC(DISK_USED, GAUGE, NUMBER, "auth", "audit_percentage_disk_space_used", "", \
               "Used part of the disk of the audit log in percent.") \
        METRIC(DISK_FREE, GAUGE, NUMBER, "auth", "cteleport_disk_free_bytes", "", \
               "Free bytes of the disk of the audit log.") \
        METRIC(TUNNELS, GAUGE, NUMBER, "proxy", "teleport_reverse_tunnels_connected", "", \
               "Reverse tunnels that nodes have opened to this proxy.") \
        METRIC(PROXY_SESSIONS, GAUGE, NUMBER, "proxy", "proxy_ssh_sessions_total", "", \
               "SSH connections that go through this proxy now.") \
        METRIC(DIALS, COUNTER, NUMBER, "proxy", "teleport_connect_to_node_attempts_total", "", \
               "Connections to nodes that users have requested.") \
        METRIC(FAILED_DIALS, COUNTER, NUMBER, "proxy", "failed_connect_to_node_attempts_total", "", \
               "Connections to nodes that were refused or failed.") \
        METRIC(AGENT_TUNNELS, GAUGE, NUMBER, "ssh", "cteleport_tunnels_open", "", \
               "Proxies to which this node has a tunnel.") \
        METRIC(SSH_CONNECTIONS, GAUGE, NUMBER, "ssh", "cteleport_ssh_connections_open", "", \
               "SSH connections to this node.") \
        METRIC(SSH_SESSIONS, GAUGE, NUMBER, "ssh", "server_interactive_sessions_total", "", \
               "Sessions on this node that run now: shells, commands and file copies.") \
        METRIC(RECORDINGS_WAITING, GAUGE, NUMBER, "ssh", "teleport_incomplete_session_uploads_total", "", \
               "Recordings on this node that the cluster has not acknowledged, at most LIMIT_SPOOL_UPLOADS of earlier runs.") \
        METRIC(ROTATION_WAITING, GAUGE, TIME, "auth", "cteleport_ca_rotation_waiting_since_seconds", "ca=host|user", \
               "Unix time since which a step of the rotation of a CA that is due waits for hosts or for the signer.") \
        METRIC(APP_CONNECTIONS, GAUGE, NUMBER, "app", "cteleport_app_connections_open", "", \
               "Connections of users to applications of this host.") \
        METRIC(ACME_APPS, GAUGE, NUMBER, "acme", "cteleport_acme_app_names", "state=valid|failed", \
               "Names of applications that have a certificate by ACME, and those whose last order failed.") \
        METRIC_TABLE_APPENDED(METRIC)
/* clang-format on */

#endif
