/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of hosts, for `nodes ls`, `inventory ls` and `get`.
 */
#ifndef CMD_TCTL_NODES_SHARED_H
#define CMD_TCTL_NODES_SHARED_H

#include "cmd/tctl/session.h"

/* All nodes, or instances, by host name. */
struct error *nodes_list(struct session *s, Cteleport__V1__Node ***ret, size_t *ret_count) MUST_USE;
struct error *instances_list(struct session *s, Cteleport__V1__Instance ***ret, size_t *ret_count) MUST_USE;

/* Prints the instances that is_shown() accepts, as a table or in the format of the flags. */
struct instances_view {
        bool (*is_shown)(const Cteleport__V1__InstanceSpec *spec, const struct flags *given);
        void (*put_table)(struct buf *out, Cteleport__V1__Instance *const *instances, size_t count, const struct flags *given);
};
struct error *instances_ls(struct session *s, const struct flags *given, const struct instances_view *view) MUST_USE;

/* All hosts that offer applications, one for each application, by host name and then by that of the application. */
struct error *app_servers_list(struct session *s, Cteleport__V1__AppServer ***ret, size_t *ret_count) MUST_USE;

/* "online", "offline", "locked" …; borrowed. */
const char *instance_state(const Cteleport__V1__InstanceSpec *spec);

/* Verbose tables have all columns and complete cells. */
void nodes_put_table(struct buf *out, Cteleport__V1__Node *const *nodes, size_t count, bool is_verbose);
void apps_put_table(struct buf *out, Cteleport__V1__App *const *apps, size_t count, bool is_verbose);
/* With lines about names that mean several applications. */
void app_servers_put_table(struct buf *out, Cteleport__V1__AppServer *const *servers, size_t count, bool is_verbose);
void instances_put_table(struct buf *out, Cteleport__V1__Instance *const *instances, size_t count, bool is_verbose);

#endif
