/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/common/config_find.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

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
        return config_text_load(arena, "config-string", buf_str(&text), ret_ignored, ret);
}

void ignored_keys_print(const char *keys)
{
        if (!str_is_empty(str_of(keys)))
                fprintf(stderr, "WARNING: " IGNORED_KEYS ": %s\n", keys);
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
