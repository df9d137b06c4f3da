/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of command labels, as received from the process `labels`, which runs the commands. Only values of configured
 * labels are accepted.
 */
#ifndef INSTANCE_LABEL_VALUES_H
#define INSTANCE_LABEL_VALUES_H

#include "api.pb-c.h"
#include "base/compiler.h"
#include "config.pb-c.h"

struct loop;

/* changed(ctx) is called when a value has changed. config is borrowed until label_values_free(). */
struct label_values;
struct label_values *label_values_new(struct loop *l, const Cteleport__V1__Config *config, void (*changed)(void *ctx), void *ctx) MUST_USE;
void label_values_free(struct label_values *v); /* NULL is silent */

/* Sets a (new) connection to that process; fd is owned. Values stay until new ones are received. */
void label_values_listen(struct label_values *v, int fd);

/* List the labels of the host, and of its applications, that have a value; arrays and what they point to are borrowed until the next turn of the loop. */
size_t label_values_list(const struct label_values *v, Cteleport__V1__CommandLabel ***ret);
size_t label_values_list_apps(const struct label_values *v, Cteleport__V1__PresenceUp__AppLabel ***ret);

#endif
