/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/config_change.h"

#include <stdlib.h>

#include "base/bug.h"
#include "base/mem.h"
#include "base/str.h"

/* ---- the table ----------------------------------------------------------------------------------------- */

#define OTHER_SERVICE "this release does not have that service"

/* clang-format off */
static const struct config_rule rules[] = {
        { "version", CONFIG_AT_ONCE },
        { "teleport.nodename", CONFIG_RESTART, .why = "the certificates of this host have its name" },
        { "teleport.data_dir", CONFIG_RESTART, .why = "the state of this host is there" },
        { "teleport.pid_file", CONFIG_RESTART, .why = "the service manager reads it" },
        { "teleport.auth_token", CONFIG_PROCESSES, { "instance" } },
        { "teleport.join_params", CONFIG_PROCESSES, { "instance" } },
        { "teleport.ca_pin", CONFIG_PROCESSES, { "instance" } },
        { "teleport.auth_server", CONFIG_PROCESSES, { "proxy", "instance", "ssh" } },
        { "teleport.proxy_server", CONFIG_PROCESSES, { "proxy", "instance", "ssh" } },
        { "teleport.auth_servers", CONFIG_PROCESSES, { "proxy", "instance", "ssh" } },
        { "teleport.advertise_ip", CONFIG_PROCESSES, { "proxy" } },
        { "teleport.log", CONFIG_AT_ONCE },
        { "teleport.log.output", CONFIG_RESTART, .why = "all processes have the log open from their start", .unset = "stderr" },
        { "teleport.diag_addr", CONFIG_RESTART, .why = "listening sockets are opened when the service starts" },
        { "teleport.storage", CONFIG_PROCESSES, { "auth" } },
        { "teleport.storage.type", CONFIG_RESTART, .why = "the state of the cluster is there" },
        { "teleport.storage.path", CONFIG_RESTART, .why = "the state of the cluster is there" },
        { "auth_service", CONFIG_PROCESSES, { "auth" } },
        { "auth_service.enabled", CONFIG_RESTART, .why = "the services of a host are decided when it starts" },
        { "auth_service.listen_addr", CONFIG_RESTART, .why = "listening sockets are opened when the service starts" },
        { "auth_service.cluster_name", CONFIG_RESTART, .why = "the certificates of the cluster have its name" },
        { "proxy_service", CONFIG_PROCESSES, { "proxy" } },
        { "proxy_service.enabled", CONFIG_RESTART, .why = "the services of a host are decided when it starts" },
        { "proxy_service.web_listen_addr", CONFIG_RESTART, .why = "listening sockets are opened when the service starts" },
        { "proxy_service.plain_http_addr", CONFIG_RESTART, .why = "listening sockets are opened when the service starts" },
        { "proxy_service.peer_listen_addr", CONFIG_RESTART, .why = "listening sockets are opened when the service starts" },
        { "proxy_service.public_addr", CONFIG_PROCESSES, { "auth", "proxy", "acme", "instance", "ssh" } },
        { "proxy_service.https_keypairs", CONFIG_AT_ONCE },
        { "proxy_service.https_keypairs_reload_interval", CONFIG_AT_ONCE },
        { "proxy_service.acme", CONFIG_PROCESSES, { "acme" } },
        { "proxy_service.acme.enabled", CONFIG_RESTART, .why = "the processes of a host are decided when it starts" },
        { "ssh_service.enabled", CONFIG_RESTART, .why = "the services of a host are decided when it starts" },
        { "ssh_service.listen_addr", CONFIG_AT_ONCE },
        { "ssh_service.public_addr", CONFIG_PROCESSES, { "instance" } },
        { "ssh_service.labels", CONFIG_PROCESSES, { "instance" } },
        { "ssh_service.commands", CONFIG_PROCESSES, { "instance", "labels" } },
        { "ssh_service.port_forwarding", CONFIG_PROCESSES, { "ssh" } },
        { "ssh_service.ssh_file_copy", CONFIG_PROCESSES, { "instance", "ssh" } },
        { "ssh_service.pam", CONFIG_AT_ONCE },
        { "app_service.enabled", CONFIG_RESTART, .why = "the services of a host are decided when it starts" },
        /* `app` gets the applications from `instance`, and reads the files of their tls settings when it starts. */
        { "app_service.apps", CONFIG_PROCESSES, { "instance", "app", "labels" } },
        { "app_service.debug_app", CONFIG_PROCESSES, { "instance", "app" } },
        { "app_service.resources", CONFIG_PROCESSES, { "instance" } },
        { "app_service.allowed_hosts", CONFIG_PROCESSES, { "app" } },
        { "app_service.denied_hosts", CONFIG_PROCESSES, { "app" } },
        { "db_service", CONFIG_RESTART, .why = OTHER_SERVICE },
        { "kubernetes_service", CONFIG_RESTART, .why = OTHER_SERVICE },
        { "windows_desktop_service", CONFIG_RESTART, .why = OTHER_SERVICE },
};
/* clang-format on */

const struct config_rule *config_rule_at(size_t i)
{
        return i < ARRAY_LEN(rules) ? &rules[i] : NULL;
}

static const struct config_rule *rule_of(struct str key)
{
        for (size_t i = 0; i < ARRAY_LEN(rules); i++)
                if (str_equal(str_of(rules[i].key), key))
                        return &rules[i];
        return NULL;
}

const struct config_rule *config_rule_of(const char *key)
{
        for (struct str rest = str_of(key); !str_is_empty(rest);) {
                const struct config_rule *rule = rule_of(rest);

                if (rule != NULL)
                        return rule;
                while (rest.len > 0 && rest.ptr[rest.len - 1] != '.')
                        rest.len--;
                rest.len -= rest.len > 0;
        }
        return NULL;
}

/* ---- walking the schema ------------------------------------------------------------------------------ */

/* A section has keys of its own. A duration, a list of messages and a mapping are values: they have no rows below theirs. */
static bool is_section(const ProtobufCFieldDescriptor *field)
{
        if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label == PROTOBUF_C_LABEL_REPEATED)
                return false;
        return strcmp(((const ProtobufCMessageDescriptor *)field->descriptor)->name, "cteleport.v1.Duration") != 0;
}

static char *below(const char *path, const char *name)
{
        return path[0] == '\0' ? mem_printf("%s", name) : mem_printf("%s.%s", path, name);
}

static void each_key(const ProtobufCMessageDescriptor *type, const char *path, void (*fn)(void *ctx, const char *key), void *ctx)
{
        for (unsigned i = 0; i < type->n_fields; i++) {
                AUTO_MEM char *key = below(path, type->fields[i].name);

                if (is_section(&type->fields[i]))
                        each_key(type->fields[i].descriptor, key, fn, ctx);
                else
                        fn(ctx, key);
        }
}

void config_each_key(void (*fn)(void *ctx, const char *key), void *ctx)
{
        each_key(&cteleport__v1__config__descriptor, "", fn, ctx);
}

enum { VALUE_MAX = 4 * MiB }; /* two of the largest value: the file has LIMIT_YAML_FILE bytes at most */

/* ---- comparing values ---------------------------------------------------------------------------------- */

static const void *value_at(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field)
{
        return (const char *)m + field->offset;
}

static size_t count_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field)
{
        return *(const size_t *)(const void *)((const char *)m + field->quantifier_offset);
}

static bool has_value(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *field)
{
        return *(const protobuf_c_boolean *)((const char *)m + field->quantifier_offset);
}

static bool is_same_text(const char *a, const char *b)
{
        return str_equal(str_of(a), str_of(b)); /* unset and empty are the same */
}

static const char *text_or(const char *text, const char *unset)
{
        return str_is_empty(str_of(text)) ? unset : text;
}

static bool is_same_message(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
        if (a == NULL || b == NULL)
                return a == b;
        size_t len = protobuf_c_message_get_packed_size(a);
        if (len != protobuf_c_message_get_packed_size(b))
                return false;
        AUTO_PTR(arena) scratch = arena_new(VALUE_MAX);
        uint8_t *bytes_a = arena_alloc(scratch, len + 1), *bytes_b = arena_alloc(scratch, len + 1);
        protobuf_c_message_pack(a, bytes_a);
        protobuf_c_message_pack(b, bytes_b);
        return memcmp(bytes_a, bytes_b, len) == 0;
}

static bool is_same_list(const ProtobufCMessage *a, const ProtobufCMessage *b, const ProtobufCFieldDescriptor *field)
{
        void *const *list_a = *(void *const *const *)value_at(a, field), *const *list_b = *(void *const *const *)value_at(b, field);

        if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
                bug("the configuration has a list '%s' of numbers, which is not compared", field->name);
        if (count_of(a, field) != count_of(b, field))
                return false;
        for (size_t i = 0; i < count_of(a, field); i++)
                if (field->type == PROTOBUF_C_TYPE_STRING ? !is_same_text(list_a[i], list_b[i]) : !is_same_message(list_a[i], list_b[i]))
                        return false;
        return true;
}

static bool is_same_scalar(const ProtobufCMessage *a, const ProtobufCMessage *b, const ProtobufCFieldDescriptor *field)
{
        size_t size = field->type == PROTOBUF_C_TYPE_BOOL     ? sizeof(protobuf_c_boolean)
                      : field->type == PROTOBUF_C_TYPE_UINT32 ? sizeof(uint32_t)
                                                              : 0;

        if (size == 0)
                bug("the configuration has a key '%s' of a type that is not compared", field->name);
        return has_value(a, field) == has_value(b, field) && (!has_value(a, field) || memcmp(value_at(a, field), value_at(b, field), size) == 0);
}

static bool is_same_value(const ProtobufCMessage *a, const ProtobufCMessage *b, const ProtobufCFieldDescriptor *field, const char *unset)
{
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
                return is_same_list(a, b, field);
        if (field->type == PROTOBUF_C_TYPE_STRING)
                return is_same_text(text_or(*(char *const *)value_at(a, field), unset), text_or(*(char *const *)value_at(b, field), unset));
        if (field->type == PROTOBUF_C_TYPE_MESSAGE)
                return is_same_message(*(ProtobufCMessage *const *)value_at(a, field), *(ProtobufCMessage *const *)value_at(b, field));
        return is_same_scalar(a, b, field);
}

/* ---- comparing configurations -------------------------------------------------------------------------- */

struct comparison {
        struct arena *arena;
        struct config_changes *changes;
};

static void add(struct comparison *c, const char *key, const struct config_rule *rule)
{
        struct config_changes *changes = c->changes;

        if (changes->count == CONFIG_CHANGED_MAX)
                bug("the configuration has more than %d keys", CONFIG_CHANGED_MAX);
        changes->rules[changes->count] = rule;
        changes->keys[changes->count++] = str_to_c(c->arena, str_of(key));
}

static const struct config_rule *rule_for(const char *key)
{
        const struct config_rule *rule = config_rule_of(key);

        if (rule == NULL)
                bug("the key '%s' has no row in the table of changes", key);
        return rule;
}

static void compare(struct comparison *c, const ProtobufCMessageDescriptor *type, const char *path, const ProtobufCMessage *a, const ProtobufCMessage *b)
{
        ProtobufCMessage *empty = arena_alloc(c->arena, type->sizeof_message);

        protobuf_c_message_init(type, empty);
        a = a == NULL ? empty : a; /* a section without keys is the same as none */
        b = b == NULL ? empty : b;
        for (unsigned i = 0; i < type->n_fields; i++) {
                const ProtobufCFieldDescriptor *field = &type->fields[i];
                AUTO_MEM char *key = below(path, field->name);

                if (is_section(field))
                        compare(c, field->descriptor, key, *(ProtobufCMessage *const *)value_at(a, field), *(ProtobufCMessage *const *)value_at(b, field));
                else if (!is_same_value(a, b, field, rule_for(key)->unset))
                        add(c, key, rule_for(key));
        }
}

void config_compare(const Cteleport__V1__Config *old, const Cteleport__V1__Config *new, struct arena *arena, struct config_changes *ret)
{
        struct comparison c = { arena, ret };

        *ret = (struct config_changes){ .count = 0 };
        compare(&c, &cteleport__v1__config__descriptor, "", &old->base, &new->base);
}

void config_changes_add(struct config_changes *c, struct arena *arena, const char *key)
{
        for (size_t i = 0; i < c->count; i++)
                if (strcmp(c->keys[i], key) == 0)
                        return;
        add(&(struct comparison){ arena, c }, key, rule_for(key));
}

bool config_changes_concern(const struct config_changes *c, const char *process)
{
        for (size_t i = 0; i < c->count; i++)
                for (const char *const *name = c->rules[i]->processes; *name != NULL; name++)
                        if (strcmp(*name, process) == 0)
                                return true;
        return false;
}
