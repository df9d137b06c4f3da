/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validation of label names.
 */
#ifndef RESOURCE_LABEL_H
#define RESOURCE_LABEL_H

#include "base/error.h"

/* Whether a label may have this name: letters, digits and / . _ : * - */
bool label_name_is_valid(struct str name);

/*
 * Whether only the cluster may set labels of this name: below teleport.dev/, teleport.internal/ or teleport.hidden/, in
 * any letter case. A role may rely on such a label, so a host must not set it for itself.
 */
bool label_name_is_reserved(struct str name);

/* Checks a label in the configuration; setting is "ssh_service.labels", for the error. NULL: it may be used. */
struct error *label_check_configured(struct str name, const char *setting) MUST_USE;

#endif
