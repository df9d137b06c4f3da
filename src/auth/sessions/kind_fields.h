/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of a connection that are specific to one kind of resource. Fields of other kinds are empty; texts are borrowed. */
#ifndef AUTH_SESSIONS_KIND_FIELDS_H
#define AUTH_SESSIONS_KIND_FIELDS_H

#include "api.pb-c.h"
#include "base/arena.h"
#include "base/str.h"

struct kind_fields {
        struct {
                struct str login; /* the account; "" in Dial: not known yet */
        } node;
        struct {
                struct str name; /* of the application, among those of its host */
                uint32_t port;   /* one of its tcp_ports; 0: none is named */
        } app;
};

/* Reads the fields from a message; NULL: the message has none. */
static inline struct kind_fields kind_fields_of(const Cteleport__V1__NodeLogin *node)
{
        return (struct kind_fields){ .node.login = node == NULL ? STR("") : str_of(node->login) };
}

/* The same fields with texts in the arena. */
static inline struct kind_fields kind_fields_copy(struct arena *arena, const struct kind_fields *fields)
{
        return (struct kind_fields){ .node.login = arena_str(arena, fields->node.login), .app.name = arena_str(arena, fields->app.name),
                                      .app.port = fields->app.port };
}

#endif
