/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/common/config_file.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"
#include "schema/schema.h"

static struct error *load_text(struct arena *arena, const char *name, struct str text, const char **ret_ignored,
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
        return load_text(arena, path, buf_str(&text), ret_ignored, ret);
}

static struct error *load_string(struct arena *arena, const char *encoded, const char **ret_ignored,
                                 Cteleport__V1__Config **ret)
{
        AUTO(buf) text = BUF_MAX(LIMIT_YAML_FILE);
        struct error *err = base64_decode(&text, str_trim(str_of(encoded)));

        if (err == NULL)
                err = buf_finish(&text, "the configuration");
        if (err != NULL)
                return error_hint(error_wrap(err, "cannot read the configuration of --config-string"),
                                  "it is the base64 form of a whole file, also in TELEPORT_CONFIG");
        return load_text(arena, "config-string", buf_str(&text), ret_ignored, ret);
}

void ignored_keys_print(const char *keys)
{
        if (!str_is_empty(str_of(keys)))
                fprintf(stderr, "WARNING: " IGNORED_KEYS ": %s\n", keys);
}

Cteleport__V1__Config *config_file_empty(struct arena *arena)
{
        Cteleport__V1__Config *config = arena_alloc(arena, sizeof(*config));

        cteleport__v1__config__init(config);
        config->version = (char *)(uintptr_t)str_to_c(arena, STR("v3"));
        return config;
}

struct error *config_file_find(struct arena *arena, const struct flags *given, const char **ret_path,
                               const char **ret_ignored, Cteleport__V1__Config **ret)
{
        const char *path = flags_text(given, "config"), *encoded = flags_text(given, "config-string");

        *ret_path = NULL;
        if (ret_ignored != NULL)
                *ret_ignored = "";
        if (path == NULL && encoded != NULL)
                return load_string(arena, encoded, ret_ignored, ret);
        *ret_path = path != NULL ? path : CONFIG_FILE_DEFAULT;
        struct error *err = config_file_load(arena, *ret_path, ret_ignored, ret);
        if (err == NULL || path != NULL || err->code != ERROR_NOT_FOUND)
                return err;
        error_free(err);
        *ret_path = NULL;
        *ret = config_file_empty(arena);
        return NULL;
}
