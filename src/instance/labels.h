/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels whose values are the output of commands (ssh_service.commands): each runs at its own pace, one at a time
 * of each, with an environment that tells it nothing of ours.
 */
#ifndef INSTANCE_LABELS_H
#define INSTANCE_LABELS_H

#include "api.pb-c.h"
#include "base/limits.h"
#include "config.pb-c.h"

struct loop;

enum { LABEL_RESULT_MAX = 4 * LIMIT_LABEL_VALUE }; /* escaped */

/* Runs the commands of config (borrowed for its life) from now on; changed comes when a value is another than before. */
struct labels;
struct labels *labels_new(struct loop *l, const Cteleport__V1__SSHConfig *config,
                          void (*changed)(void *ctx, const Cteleport__V1__CommandLabel *label), void *ctx) MUST_USE;
/* Ends them; their memory goes when the programs have ended. NULL is silent. */
void labels_free(struct labels *l);

/* All that have a value by now; the array and what it points to are borrowed until the loop turns. */
size_t labels_list(const struct labels *l, Cteleport__V1__CommandLabel ***ret);

/* What is known of a label before it has a value; texts are borrowed from the configuration, period is referred to. */
void label_describe(const Cteleport__V1__CommandLabelConfig *config, Cteleport__V1__CommandLabel *ret,
                    Cteleport__V1__Duration *period);

#endif
