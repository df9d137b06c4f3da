/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of labels.
 */
#ifndef RESOURCE_LABEL_H
#define RESOURCE_LABEL_H

#include "base/error.h"

/* Whether a label may have this name: letters, digits and / . _ : * - */
bool label_name_is_valid(struct str name);

/*
 * Whether the name is one that only the cluster gives: below teleport.dev/, teleport.internal/ or teleport.hidden/, in any
 * letter case. A role may rely on such a label, so a host must not set it for itself.
 */
bool label_name_is_reserved(struct str name);

/* The refusal of a label in the configuration; setting is "ssh_service.labels". NULL: it may be used. */
struct error *label_check_configured(struct str name, const char *setting) MUST_USE;

#endif
