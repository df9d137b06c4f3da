/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/config_file.h"

#include "base/limits.h"
#include "base/text.h"
#include "os/file.h"
#include "schema/node.h"
#include "schema/schema.h"

struct error *config_text_load(struct arena *arena, const char *name, struct str text, const char **ret_ignored,
                               Cteleport__V1__Config **ret)
{
        ProtobufCMessage *message = NULL;
        struct schema_notes notes = { 0 };
        struct error *err = schema_load_yaml_noting(arena, name, text, &cteleport__v1__config__descriptor, &notes, &message);

        if (err != NULL)
                return error_wrap(err, "failed parsing the config file");
        *ret = (Cteleport__V1__Config *)(void *)message;
        if (ret_ignored != NULL)
                *ret_ignored = notes.ignored;
        return NULL;
}

struct error *config_file_load(struct arena *arena, const char *path, const char **ret_ignored,
                               Cteleport__V1__Config **ret)
{
        AUTO(buf) text = BUF_MAX(LIMIT_YAML_FILE);

        struct error *err = file_read_input(path, &text);
        if (err != NULL && err->code == ERROR_NOT_FOUND)
                return error_hint(err, "name the configuration file with -c FILE; `teleport configure` writes one");
        if (err != NULL && err->code == ERROR_PERMISSION_DENIED)
                return error_hint(err, "run this as root, or let this user read the file");
        TRY(err);
        return config_text_load(arena, path, buf_str(&text), ret_ignored, ret);
}

/* The key with which a message begins, "teleport.log.severity cannot be …", without an index. */
static struct str key_of_message(const char *what)
{
        struct str text = str_of(what);
        size_t len = 0;

        while (len < text.len && (char_is_alnum(text.ptr[len]) || text.ptr[len] == '_' || text.ptr[len] == '.'))
                len++;
        return str_slice(text, 0, len);
}

/* The node of a key, or of the nearest section that the file has; the root if it has none. */
static const struct node *node_of(const struct node *n, struct str key)
{
        while (!str_is_empty(key)) {
                const struct node *below = n->kind == NODE_MAPPING ? node_member(n, str_split(&key, '.')) : NULL;

                if (below == NULL)
                        return n;
                n = below;
        }
        return n;
}

struct error *config_file_place(const char *path, const char *key, struct error *err)
{
        AUTO_PTR(arena) nodes = arena_new(NODE_ARENA_CAP);
        AUTO(buf) text = BUF_MAX(LIMIT_YAML_FILE);
        struct node_item *documents = NULL;

        if (path == NULL || str_contains(str_of(err->what), str_of(path)))
                return err;
        AUTO_PTR(error) unread = file_read_input(path, &text);
        AUTO_PTR(error) invalid = unread == NULL ? node_parse(nodes, path, buf_str(&text), &documents) : NULL;
        if (unread != NULL || invalid != NULL || documents == NULL)
                return error_wrap(err, "%s", path);
        const struct node *root = documents->value, *n = node_of(root, key != NULL ? str_of(key) : key_of_message(err->what));
        return n == root ? error_wrap(err, "%s", path) : error_wrap(err, "%s:%d:%d", path, n->line, n->column);
}

Cteleport__V1__Config *config_file_empty(struct arena *arena)
{
        Cteleport__V1__Config *config = arena_alloc(arena, sizeof(*config));

        cteleport__v1__config__init(config);
        config->version = unconst("v3");
        return config;
}
