/* SPDX-License-Identifier: Apache-2.0 */
/* The fields that only connections to one kind of resource have; those of other kinds are empty. Texts are borrowed. */
#ifndef AUTH_SESSIONS_KIND_FIELDS_H
#define AUTH_SESSIONS_KIND_FIELDS_H

#include "api.pb-c.h"
#include "base/str.h"

struct kind_fields {
        struct {
                struct str login; /* the account; "" in Dial: not known yet */
        } node;
};

/* As a message has them; NULL: it has none of that kind. */
static inline struct kind_fields kind_fields_of(const Cteleport__V1__NodeLogin *node)
{
        return (struct kind_fields){ .node.login = node == NULL ? STR("") : str_of(node->login) };
}

#endif
