/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the commands of labels (ssh_service.commands, and those of app_service.apps), whose output is the label's value. Each command has
 * its own period, runs once at a time, and gets a minimal environment.
 */
#ifndef INSTANCE_LABELS_H
#define INSTANCE_LABELS_H

#include "api.pb-c.h"
#include "base/limits.h"
#include "config.pb-c.h"

struct loop;

enum { LABEL_RESULT_MAX = 4 * LIMIT_LABEL_VALUE }; /* escaped */

/* A command of teleport.yaml. */
struct label_command {
        const char *app; /* the application that has the label; "": the host */
        const Cteleport__V1__CommandLabelConfig *config;
};

/* Lists the commands of the services that are enabled, borrowed from config; at most LIMIT_LABEL_COMMANDS. Returns their number. */
size_t label_commands(const Cteleport__V1__Config *config, struct label_command ret[LIMIT_LABEL_COMMANDS]);

struct label_result {
        const char *app; /* as in label_command */
        const char *name, *result;
};

/* Runs the commands of config (borrowed until labels_free()); changed is called when a value has changed. */
struct labels;
struct labels *labels_new(struct loop *l, const Cteleport__V1__Config *config, void (*changed)(void *ctx, const struct label_result *label),
                          void *ctx) MUST_USE;
/* Ends the programs; memory is freed when they have ended. NULL is ignored. */
void labels_free(struct labels *l);

/* Lists the labels that have a value; the array and what it points to are borrowed until the next turn of the loop. */
size_t labels_list(const struct labels *l, const struct label_result **ret);

/* Describes a label that has no value yet; texts and period are borrowed from the configuration. */
void label_describe(const Cteleport__V1__CommandLabelConfig *config, Cteleport__V1__CommandLabel *ret,
                    Cteleport__V1__Duration *period);

#endif
