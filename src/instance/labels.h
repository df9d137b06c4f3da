/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels whose values are the output of commands (ssh_service.commands): each runs at its own pace, one at a time
 * of each, with an environment that tells it nothing of ours.
 */
#ifndef INSTANCE_LABELS_H
#define INSTANCE_LABELS_H

#include "api.pb-c.h"
#include "base/compiler.h"
#include "config.pb-c.h"

struct loop;

/* Runs the commands of config (borrowed for its life) from now on; changed(ctx) comes when a value is another than before. */
struct labels;
struct labels *labels_new(struct loop *l, const Cteleport__V1__SSHConfig *config, void (*changed)(void *ctx), void *ctx) MUST_USE;
/* Ends them; their memory goes when the programs have ended. NULL is silent. */
void labels_free(struct labels *l);

/* All that have a value by now; the array and what it points to are borrowed until the loop turns. */
size_t labels_list(const struct labels *l, Cteleport__V1__CommandLabel ***ret);

#endif
