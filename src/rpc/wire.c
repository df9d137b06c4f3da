/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc/wire.h"

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

enum {
        TAG_MAX = (1 << 29) - 1, /* the largest field number of protobuf */
        SEEN_WORDS = 4,          /* words of the bitmap of fields seen; one type has at most 256 fields */
        SEEN_BITS = 64,
};

/* One level of nesting: a message on the path to the current field. */
struct level {
        const ProtobufCMessageDescriptor *type;
        size_t end;          /* of its bytes in the input */
        size_t prefix_at;    /* in the copy: offset of this message's length */
        size_t prefix_width; /* bytes of that length; the copy keeps the width, since the length only shrinks */
        uint64_t seen[SEEN_WORDS];
};

struct scan {
        struct str in;
        size_t at;
        unsigned fields;
        bool has_unknown;
        char *copy; /* the input without unknown fields, or NULL in the first pass */
        size_t copied;
        unsigned depth; /* levels in use */
        struct level levels[LIMIT_RPC_DEPTH];
};

static struct level *top(struct scan *s)
{
        return &s->levels[s->depth - 1];
}

/* An error about the message being scanned; field names come from the descriptor, so they are trusted. */
#define refuse(s, format, ...)                                                                     \
        error_new(ERROR_INVALID_ARGUMENT, "message %s " format,                                    \
                  top(s)->type->short_name __VA_OPT__(, ) __VA_ARGS__)

/* Reads a varint of at most ten bytes that ends before `end`. */
static bool read_varint(struct scan *s, size_t end, uint64_t *ret)
{
        uint64_t value = 0;

        for (unsigned shift = 0; shift < 70 && s->at < end; shift += 7) {
                uint8_t byte = (uint8_t)s->in.ptr[s->at++];

                if (shift == 63 && byte > 1)
                        return false;
                value |= (uint64_t)(byte & 0x7f) << shift;
                if ((byte & 0x80) == 0) {
                        *ret = value;
                        return true;
                }
        }
        return false;
}

static bool wire_type_of(ProtobufCType type, ProtobufCWireType *ret)
{
        switch (type) {
        case PROTOBUF_C_TYPE_INT32:
        case PROTOBUF_C_TYPE_SINT32:
        case PROTOBUF_C_TYPE_INT64:
        case PROTOBUF_C_TYPE_SINT64:
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_UINT64:
        case PROTOBUF_C_TYPE_BOOL:
        case PROTOBUF_C_TYPE_ENUM:
                *ret = PROTOBUF_C_WIRE_TYPE_VARINT;
                return true;
        case PROTOBUF_C_TYPE_SFIXED32:
        case PROTOBUF_C_TYPE_FIXED32:
        case PROTOBUF_C_TYPE_FLOAT:
                *ret = PROTOBUF_C_WIRE_TYPE_32BIT;
                return true;
        case PROTOBUF_C_TYPE_SFIXED64:
        case PROTOBUF_C_TYPE_FIXED64:
        case PROTOBUF_C_TYPE_DOUBLE:
                *ret = PROTOBUF_C_WIRE_TYPE_64BIT;
                return true;
        case PROTOBUF_C_TYPE_STRING:
        case PROTOBUF_C_TYPE_BYTES:
        case PROTOBUF_C_TYPE_MESSAGE:
                *ret = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
                return true;
        }
        return false;
}

static bool is_packable(ProtobufCType type)
{
        return type != PROTOBUF_C_TYPE_STRING && type != PROTOBUF_C_TYPE_BYTES && type != PROTOBUF_C_TYPE_MESSAGE;
}

/* Whether a varint is in the range of the field's type: protobuf-c would truncate it silently. */
static bool varint_fits(const ProtobufCFieldDescriptor *field, uint64_t value)
{
        int64_t number = (int64_t)value;

        switch (field->type) {
        case PROTOBUF_C_TYPE_BOOL:
                return value <= 1;
        case PROTOBUF_C_TYPE_ENUM:
                return number >= INT32_MIN && number <= INT32_MAX &&
                       protobuf_c_enum_descriptor_get_value(field->descriptor, (int)number) != NULL;
        case PROTOBUF_C_TYPE_INT32:
                return number >= INT32_MIN && number <= INT32_MAX;
        case PROTOBUF_C_TYPE_UINT32:
        case PROTOBUF_C_TYPE_SINT32: /* zigzag */
                return value <= UINT32_MAX;
        default:
                return true;
        }
}

static struct error *count_field(struct scan *s)
{
        if (++s->fields > LIMIT_RPC_FIELDS)
                return refuse(s, "has more than %d fields", LIMIT_RPC_FIELDS);
        return NULL;
}

/* A singular field may occur once, and one member per oneof: parsers disagree about repetitions. */
static struct error *check_repetition(struct scan *s, const ProtobufCFieldDescriptor *field)
{
        struct level *level = top(s);

        if (field->label == PROTOBUF_C_LABEL_REPEATED)
                return NULL;
        for (unsigned i = 0; i < level->type->n_fields; i++) {
                const ProtobufCFieldDescriptor *other = &level->type->fields[i];
                bool is_same = other == field;
                bool is_duplicate = (field->flags & other->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
                                other->quantifier_offset == field->quantifier_offset;

                if ((is_same || is_duplicate) && (level->seen[i / SEEN_BITS] >> (i % SEEN_BITS) & 1) != 0)
                        return refuse(s, "has field '%s' %s", field->name,
                                      is_same ? "twice" : "beside another member of its oneof");
        }
        unsigned index = (unsigned)(field - level->type->fields);
        level->seen[index / SEEN_BITS] |= (uint64_t)1 << (index % SEEN_BITS);
        return NULL;
}

static struct error *enter(struct scan *s, const ProtobufCMessageDescriptor *type, size_t end)
{
        if (s->depth == LIMIT_RPC_DEPTH)
                return refuse(s, "is nested deeper than %d levels", LIMIT_RPC_DEPTH);
        if (type->n_fields > SEEN_WORDS * SEEN_BITS)
                bug("message type %s has too many fields for the scan", type->name);
        s->depth++;
        *top(s) = (struct level){ .type = type, .end = end };
        return NULL;
}

static void copy_bytes(struct scan *s, size_t from, size_t to)
{
        if (s->copy == NULL)
                return;
        memcpy(s->copy + s->copied, s->in.ptr + from, to - from);
        s->copied += to - from;
}

/* Ends a message: its length in the copy is now known and written. */
static void leave(struct scan *s)
{
        struct level *level = top(s);

        if (s->copy != NULL && s->depth > 1) {
                size_t len = s->copied - (level->prefix_at + level->prefix_width);

                for (size_t i = 0; i < level->prefix_width; i++) {
                        bool is_last = i + 1 == level->prefix_width;

                        s->copy[level->prefix_at + i] = (char)((len & 0x7f) | (is_last ? 0 : 0x80));
                        len >>= 7;
                }
        }
        s->depth--;
}

static struct error *check_packed(struct scan *s, const ProtobufCFieldDescriptor *field, size_t end)
{
        ProtobufCWireType wire;

        if (!wire_type_of(field->type, &wire))
                return refuse(s, "has a field '%s' of no known type", field->name);
        while (s->at < end) {
                uint64_t value = 0;

                TRY(count_field(s));
                if (wire == PROTOBUF_C_WIRE_TYPE_VARINT) {
                        if (!read_varint(s, end, &value) || !varint_fits(field, value))
                                return refuse(s, "has a bad number in field '%s'", field->name);
                        continue;
                }
                size_t width = wire == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 8;
                if (width > end - s->at)
                        return refuse(s, "is cut short in field '%s'", field->name);
                s->at += width;
        }
        return NULL;
}

static struct error *check_text(struct scan *s, const ProtobufCFieldDescriptor *field, size_t len)
{
        struct str text = str_slice(s->in, s->at, len);

        if (!text_is_utf8(text))
                return refuse(s, "has text in field '%s' that is not UTF-8", field->name);
        if (str_find_char(text, '\0') != text.len)
                return refuse(s, "has a NUL in field '%s'", field->name);
        return NULL;
}

/* Skips a value of an unknown field; groups and invalid wire types are refused. */
static struct error *skip_unknown(struct scan *s, uint32_t number, unsigned wire)
{
        size_t end = top(s)->end;
        uint64_t value = 0;
        bool fits = false;

        s->has_unknown = true;
        switch (wire) {
        case PROTOBUF_C_WIRE_TYPE_VARINT:
                fits = read_varint(s, end, &value);
                value = 0;
                break;
        case PROTOBUF_C_WIRE_TYPE_64BIT:
                fits = true;
                value = 8;
                break;
        case PROTOBUF_C_WIRE_TYPE_32BIT:
                fits = true;
                value = 4;
                break;
        case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
                fits = read_varint(s, end, &value);
                break;
        default:
                return refuse(s, "has field %u in wire type %u, which is not used any more", number,
                              wire);
        }
        if (!fits || value > end - s->at)
                return refuse(s, "is cut short in field %u", number);
        s->at += value;
        return NULL;
}

/* The tag has been read; `began` is its offset. */
static struct error *scan_known(struct scan *s, const ProtobufCFieldDescriptor *field, unsigned wire, size_t began)
{
        size_t end = top(s)->end;
        ProtobufCWireType expected;
        uint64_t value = 0;

        TRY(check_repetition(s, field));
        if (!wire_type_of(field->type, &expected))
                return refuse(s, "has a field '%s' of no known type", field->name);
        bool is_packed = wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED && is_packable(field->type) &&
                         field->label == PROTOBUF_C_LABEL_REPEATED;
        if (wire != expected && !is_packed)
                return refuse(s, "has field '%s' in the wrong wire type", field->name);

        if (wire == PROTOBUF_C_WIRE_TYPE_VARINT) {
                if (!read_varint(s, end, &value) || !varint_fits(field, value))
                        return refuse(s, "has a bad number in field '%s'", field->name);
                copy_bytes(s, began, s->at);
                return NULL;
        }

        size_t prefix_at = s->at;
        if (wire == PROTOBUF_C_WIRE_TYPE_32BIT)
                value = 4;
        else if (wire == PROTOBUF_C_WIRE_TYPE_64BIT)
                value = 8;
        else if (!read_varint(s, end, &value) || s->at - prefix_at > 5) /* protobuf-c reads at most five bytes of a length */
                return refuse(s, "has a bad length in field '%s'", field->name);
        if (value > end - s->at)
                return refuse(s, "is cut short in field '%s'", field->name);

        size_t body_at = s->at;
        size_t body_end = body_at + (size_t)value;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
                TRY(enter(s, field->descriptor, body_end));
                copy_bytes(s, began, body_at);
                top(s)->prefix_width = body_at - prefix_at;
                top(s)->prefix_at = s->copied - top(s)->prefix_width;
                return NULL;
        }
        if (is_packed)
                TRY(check_packed(s, field, body_end));
        if (field->type == PROTOBUF_C_TYPE_STRING)
                TRY(check_text(s, field, (size_t)value));
        s->at = body_end;
        copy_bytes(s, began, body_end);
        return NULL;
}

static struct error *scan_field(struct scan *s)
{
        size_t began = s->at;
        uint64_t tag = 0;

        TRY(count_field(s));
        if (!read_varint(s, top(s)->end, &tag) || s->at - began > 5)
                return refuse(s, "has a bad tag");
        uint64_t number = tag >> 3;
        if (number == 0 || number > TAG_MAX)
                return refuse(s, "has a field number out of range");
        unsigned wire = (unsigned)(tag & 7);
        const ProtobufCFieldDescriptor *field =
                protobuf_c_message_descriptor_get_field(top(s)->type, (unsigned)number);
        return field == NULL ? skip_unknown(s, (uint32_t)number, wire) : scan_known(s, field, wire, began);
}

/* Scans the whole message with an explicit stack; with s->copy set, writes a copy without unknown fields. */
static struct error *scan_message(struct scan *s, const ProtobufCMessageDescriptor *type)
{
        TRY(enter(s, type, s->in.len));
        while (s->depth > 0) {
                if (s->at == top(s)->end)
                        leave(s);
                else
                        TRY(scan_field(s));
        }
        return NULL;
}

unsigned wire_only_field(struct str bytes)
{
        struct scan s = { .in = bytes };
        uint64_t tag = 0, len = 0;

        if (!read_varint(&s, bytes.len, &tag) || (tag & 7) != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED || tag >> 3 > TAG_MAX)
                return 0;
        if (!read_varint(&s, bytes.len, &len) || len != bytes.len - s.at)
                return 0;
        return (unsigned)(tag >> 3);
}

/* The memory for protobuf-c's allocator. */
struct source {
        struct arena *arena;
        bool is_empty; /* an allocation did not fit */
};

static void *allocate(void *ctx, size_t size)
{
        struct source *source = ctx;
        void *at = arena_try_alloc(source->arena, size);

        if (at == NULL)
                source->is_empty = true;
        return at;
}

static void leave_to_arena(void *ctx UNUSED, void *at UNUSED)
{
}

static struct error *arena_is_full(const ProtobufCMessageDescriptor *type)
{
        return error_new(ERROR_RESOURCE_EXHAUSTED, "message %s needs more memory than one call may use",
                         type->short_name);
}

struct error *wire_decode(struct arena *a, const ProtobufCMessageDescriptor *type, struct str bytes,
                          ProtobufCMessage **ret)
{
        struct scan check = { .in = bytes };

        TRY(scan_message(&check, type));
        if (check.has_unknown) {
                struct scan again = { .in = bytes, .copy = arena_try_alloc(a, bytes.len) };

                if (again.copy == NULL)
                        return arena_is_full(type);
                TRY(scan_message(&again, type));
                bytes = str_of_bytes(again.copy, again.copied);
        }
        struct source source = { .arena = a };
        ProtobufCAllocator allocator = { .alloc = allocate, .free = leave_to_arena, .allocator_data = &source };
        ProtobufCMessage *msg = protobuf_c_message_unpack(type, &allocator, bytes.len, str_bytes(bytes));
        if (msg == NULL) /* after the scan, only memory or a required field of proto2 can be missing */
                return source.is_empty ? arena_is_full(type)
                                       : error_new(ERROR_INVALID_ARGUMENT, "message %s lacks a required field",
                                                   type->short_name);
        *ret = msg;
        return NULL;
}

void wire_encode(struct buf *out, const ProtobufCMessage *msg)
{
        uint8_t *at = buf_extend(out, protobuf_c_message_get_packed_size(msg));

        if (at != NULL)
                protobuf_c_message_pack(msg, at);
}

struct error *wire_copy(struct arena *a, const ProtobufCMessage *msg, ProtobufCMessage **ret)
{
        size_t size = protobuf_c_message_get_packed_size(msg);
        AUTO_MEM uint8_t *bytes = mem_alloc(size);

        protobuf_c_message_pack(msg, bytes);
        return wire_decode(a, msg->descriptor, str_of_bytes(bytes, size), ret);
}
