/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by schema_load.c and schema_emit.c; not included elsewhere. */
#ifndef SCHEMA_INTERNAL_H
#define SCHEMA_INTERNAL_H

#include "schema/schema.h"

/* Which of the special forms a message type has. */
enum schema_form {
        FORM_MESSAGE,
        FORM_TIMESTAMP,
        FORM_DURATION,
        FORM_STRINGS, /* one text or a list of them */
        FORM_ENTRY,   /* of a mapping */
};
enum schema_form schema_form(const ProtobufCMessageDescriptor *type);

/* A message of FORM_STRINGS that is printed as a list even if it holds one text. */
bool schema_is_always_list(const ProtobufCMessageDescriptor *type);

/* Fields of an entry. */
enum { ENTRY_KEY, ENTRY_VALUE };

/* Where a field's value, or its quantifier (has_x, n_x), lies in a message. */
static inline void *field_at(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
        return (char *)(uintptr_t)msg + field->offset;
}
static inline void *field_quantifier(const ProtobufCMessage *msg, const ProtobufCFieldDescriptor *field)
{
        return (char *)(uintptr_t)msg + field->quantifier_offset;
}

/* Bytes of one value of the field's type. */
size_t schema_value_size(const ProtobufCFieldDescriptor *field);

/*
 * Text and moment both ways. A moment may lie beyond what struct walltime can hold: guides of old let
 * tokens expire in the year 3000.
 */
struct error *timestamp_parse(struct str text, int64_t *ret_seconds, int32_t *ret_nanos) MUST_USE;

struct node;

/* Whether Teleport knows this key of the message and we do not. */
bool key_is_foreign(const ProtobufCMessageDescriptor *type, struct str key);

/* Says why such a key is refused and what to do, of a mapping which value it is that has an effect; returns err. */
struct error *foreign_key_hint(struct error *err, const ProtobufCMessageDescriptor *type, struct str key, const struct node *value) MUST_USE;

/*
 * Whether such a key with this value asks for nothing: it is empty or off, or it says what this product does
 * anyway, or Teleport prints it and never reads it back.
 */
bool foreign_key_has_no_effect(const ProtobufCMessageDescriptor *type, struct str key, const struct node *value);

/* Whether every scalar is text where this message, the root of a document, or one below it has text. */
bool schema_takes_any_text(const ProtobufCMessageDescriptor *root);

/* A section that says `enabled: no`. */
bool node_is_off(const struct node *section);

#endif
