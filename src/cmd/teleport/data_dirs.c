/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/teleport/data_dirs.h"

#include "resource/config.h"
#include "resource/config_file.h"

static bool is_set(const char *text)
{
        return text != NULL && text[0] != '\0';
}

struct error *data_dirs_find(const struct flags *given, struct arena *arena, struct data_dirs *ret)
{
        const char *path = flags_text(given, "config"), *data_dir = flags_text(given, "data-dir");
        Cteleport__V1__Config *config = NULL;
        struct error *err = NULL;

        if (path != NULL || data_dir == NULL)
                err = config_file_load(arena, path == NULL ? CONFIG_FILE_DEFAULT : path, NULL, &config);
        if (err != NULL && (path != NULL || err->code != ERROR_NOT_FOUND))
                return err;
        error_free(err);
        const Cteleport__V1__TeleportConfig *t = config == NULL ? NULL : config->teleport;
        if (data_dir == NULL)
                data_dir = t != NULL && is_set(t->data_dir) ? t->data_dir : CONFIG_DATA_DIR;
        bool has_path = t != NULL && t->storage != NULL && is_set(t->storage->path);
        *ret = (struct data_dirs){
                .data_dir = data_dir,
                .store = has_path ? t->storage->path : arena_printf(arena, "%s/backend", data_dir),
        };
        return NULL;
}
