/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the sources that read the store for all kinds of records: state.c, state_check.c and state_watch.c. */
#ifndef STATE_STATE_INTERNAL_H
#define STATE_STATE_INTERNAL_H

#include "state/state.h"

/* Kinds that only their own files use otherwise. */
extern const struct state_kind cluster_kind;       /* cluster.c */
extern const struct state_kind invite_newest_kind; /* invite.c */

static inline struct state_record state_record_of(const struct state_kind *kind, const struct store_item *item)
{
        return (struct state_record){
                .kind = kind,
                .id = str_slice(item->key, kind->prefix.len, item->key.len),
                .value = item->value,
                .revision = item->revision,
                .expires = item->expires,
        };
}

#endif
