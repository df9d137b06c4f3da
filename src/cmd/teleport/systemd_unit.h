/* SPDX-License-Identifier: Apache-2.0 */
/* The text of teleport's unit for systemd; docs/operate/systemd.md describes it. */
#ifndef CMD_TELEPORT_SYSTEMD_UNIT_H
#define CMD_TELEPORT_SYSTEMD_UNIT_H

#include <stdint.h>

#include "base/buf.h"

enum { SYSTEMD_PATHS_MAX = 16 };

/* No path has a character that is special to systemd; the caller has checked them. */
struct systemd_unit {
        const char *program, *config, *env_file, *pid_file;
        int64_t fd_limit;
        bool has_sessions; /* a service starts sessions of users, which inherit each restriction of the unit */
        /* Directories to write to and to read besides those of the system, NULL-terminated; only without sessions. */
        const char *writes[SYSTEMD_PATHS_MAX + 1], *reads[SYSTEMD_PATHS_MAX + 1];
};

void systemd_unit_put(struct buf *out, const struct systemd_unit *unit);

#endif
