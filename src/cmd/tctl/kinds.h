/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of resource kinds for create, get, edit and rm: one row each.
 */
#ifndef CMD_TCTL_KINDS_H
#define CMD_TCTL_KINDS_H

#include <protobuf-c/protobuf-c.h>

#include "cmd/tctl/session.h"
#include "schema/schema.h"

/* The condition of a write. */
struct kind_put {
        bool must_be_new;        /* ALREADY_EXISTS otherwise */
        const char *if_revision; /* ABORTED if it has changed since; NULL: unconditional */
};

struct kind {
        const char *name, *plural;
        const ProtobufCMessageDescriptor *type;
        /* name NULL: all of them; NOT_FOUND when there is none of that name. */
        struct error *(*find)(struct session *s, const char *name, bool with_secrets, ProtobufCMessage ***ret,
                              size_t *ret_count);
        void (*put_table)(struct buf *out, ProtobufCMessage *const *msgs, size_t count, bool is_verbose);
        const char *remove;        /* method that deletes one, NULL: not deletable */
        /* Removes those that find has found, with a line for each; NULL: the method gets the name. */
        struct error *(*remove_found)(struct session *s, ProtobufCMessage **msgs, size_t count);
        const char *kept_hint;     /* of one that is not deletable: when it disappears */
        const char *removed_quote; /* text around the name in the sentence about it */

        const char *not_written;   /* of a kind that users do not write: the hint */

        /* The following fields are NULL unless users write the kind. */
        const char *get; /* method that returns one */
        /* Checks it and converts it to canonical form, in place. */
        struct error *(*check)(ProtobufCMessage *msg, struct arena *arena);
        struct error *(*put)(struct session *s, ProtobufCMessage *msg, struct kind_put how, ProtobufCMessage **ret);
        const char *written, *written_quote; /* "provision_token", and the text around the name in the sentence */
        bool is_always_overwritten;          /* by create, without -f */
};

/* Ends with a row without a name. */
extern const struct kind kinds[];
/* The kinds that users write, for the loader. */
extern const struct schema_kind kinds_written[];

/* By name or plural, any case. INVALID_ARGUMENT with the list of kinds. */
struct error *kind_find(struct str text, const struct kind **ret) MUST_USE;

/* Of a message that kinds_written loaded. */
const struct kind *kind_of(const ProtobufCMessage *msg);

/* Its metadata, NULL when it has none. */
Cteleport__V1__Metadata *kind_metadata(const ProtobufCMessage *msg);

/* Writes it and prints the server's warnings to stderr. */
struct error *kind_write(struct session *s, const struct kind *kind, ProtobufCMessage *msg, struct kind_put how,
                         bool *ret_was_there) MUST_USE;

/* "role 'x' has been created", the name escaped, masked where it is a secret. */
void kind_report_written(const struct kind *kind, const ProtobufCMessage *msg, bool was_there);

#endif
