/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The labels that commands give, as the process `labels` tells of them: it runs the commands, and of it only values of
 * labels that are configured are taken.
 */
#ifndef INSTANCE_LABEL_VALUES_H
#define INSTANCE_LABEL_VALUES_H

#include "api.pb-c.h"
#include "base/compiler.h"
#include "config.pb-c.h"

struct loop;

/* changed(ctx) comes when a value is another than before. config is borrowed for the life of it. */
struct label_values;
struct label_values *label_values_new(struct loop *l, const Cteleport__V1__SSHConfig *config, void (*changed)(void *ctx), void *ctx) MUST_USE;
void label_values_free(struct label_values *v); /* NULL is silent */

/* A (new) connection to that process; fd is owned. Values stay until it tells others. */
void label_values_listen(struct label_values *v, int fd);

/* All that have a value by now; the array and what it points to are borrowed until the loop turns. */
size_t label_values_list(const struct label_values *v, Cteleport__V1__CommandLabel ***ret);

#endif
