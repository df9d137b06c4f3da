/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The applications that this host offers: those of teleport.yaml, and the resources that the cluster has selected by its matchers
 * (app_service.resources). The process `app` gets this table.
 */
#ifndef INSTANCE_APP_TABLE_H
#define INSTANCE_APP_TABLE_H

#include "api.pb-c.h"
#include "base/compiler.h"
#include "base/error.h"
#include "internal.pb-c.h"

/* config is borrowed until app_table_free(). */
struct app_table;
struct app_table *app_table_new(const Cteleport__V1__AppServiceConfig *config) MUST_USE;
void app_table_free(struct app_table *t); /* NULL is silent */

/* Takes resources that the cluster has sent. Those that this release cannot serve are left out. */
void app_table_take(struct app_table *t, const Cteleport__V1__PresenceDown__Apps *sent);

/*
 * The table for a process that has the revision `have`; NULL: it keeps what it has. Until the cluster has sent the resources, only a
 * process that has no table gets one, so that a process keeps what it offers while the Auth Service is away. Borrowed until the next
 * app_table_take().
 */
const Cteleport__Internal__V1__Apps *app_table_for(const struct app_table *t, const char *have);

/*
 * The refusal (owned; NULL: none) of what this host announces to the cluster. If it is that of an application with tcp_ports, whose uri an Auth Service without them
 * takes for a mistake, its hint is the remedy for that.
 */
struct error *app_table_explain_refusal(const Cteleport__V1__AppServiceConfig *config, struct error *err) MUST_USE;

#endif
