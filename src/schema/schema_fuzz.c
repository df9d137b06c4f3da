/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: an accepted message, written as YAML and as JSON, loads again as the same message.
 */
#include "schema/schema.h"

#include "base/bug.h"
#include "base/mem.h"
#include "config.pb-c.h"
#include "resource.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_CAP = 64 * MiB, TEXT_CAP = 64 * MiB };

static void assert_loads_to(struct str text, const ProtobufCMessage *expected, const char *language)
{
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        ProtobufCMessage *again = NULL;
        struct error *err = schema_load_yaml(a, language, text, expected->descriptor, &again);

        if (err != NULL) {
                error_print(err);
                bug("what was written as %s does not load: %.*s", language, STR_ARG(text));
        }
        size_t len = protobuf_c_message_get_packed_size(expected);
        if (protobuf_c_message_get_packed_size(again) != len)
                bug("what was written as %s has another length: %.*s", language, STR_ARG(text));
        AUTO_MEM uint8_t *one = mem_alloc(len), *other = mem_alloc(len);
        protobuf_c_message_pack(expected, one);
        protobuf_c_message_pack(again, other);
        if (memcmp(one, other, len) != 0)
                bug("what was written as %s differs: %.*s", language, STR_ARG(text));
}

static void check_round_trips(struct str text, const ProtobufCMessageDescriptor *type)
{
        AUTO_PTR(arena) a = arena_new(ARENA_CAP);
        AUTO(buf) yaml = BUF_MAX(TEXT_CAP);
        AUTO(buf) compact = BUF_MAX(TEXT_CAP);
        AUTO(buf) indented = BUF_MAX(TEXT_CAP);
        ProtobufCMessage *msg = NULL;
        AUTO_PTR(error) err = schema_load_yaml(a, "input", text, type, &msg);

        if (err != NULL)
                return;
        schema_put_yaml(&yaml, msg);
        schema_put_json(&compact, msg, SCHEMA_JSON_COMPACT);
        schema_put_json(&indented, msg, SCHEMA_JSON_INDENT);
        if (yaml.len > 128 * KiB || indented.len > 128 * KiB)
                return; /* with its aliases expanded it exceeds the limit of input */
        assert_loads_to(buf_str(&yaml), msg, "yaml");
        assert_loads_to(buf_str(&compact), msg, "json");
        assert_loads_to(buf_str(&indented), msg, "indented json");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct str text = str_of_bytes(data, size);

        check_round_trips(text, &cteleport__v1__config__descriptor);
        check_round_trips(text, &cteleport__v1__token__descriptor);
        check_round_trips(text, &cteleport__v1__instance__descriptor);
        return 0;
}
