/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/config_file.h"

#include "base/limits.h"
#include "os/file.h"
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

Cteleport__V1__Config *config_file_empty(struct arena *arena)
{
        Cteleport__V1__Config *config = arena_alloc(arena, sizeof(*config));

        cteleport__v1__config__init(config);
        config->version = unconst("v3");
        return config;
}
