/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/teleport/output.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/text.h"
#include "resource/config_file.h"
#include "os/file.h"

struct error *output_path(const char *destination, const char **ret_path)
{
        static const char scheme[] = "file://";
        struct str text = str_of(destination);

        if (str_equal(text, STR("stdout"))) {
                *ret_path = NULL;
                return NULL;
        }
        if (str_equal(text, STR("file"))) {
                *ret_path = CONFIG_FILE_DEFAULT;
                return NULL;
        }
        if (str_starts_with(text, STR("file://")))
                destination += sizeof(scheme) - 1;
        if (destination[0] != '/') {
                AUTO_MEM char *shown = escaped(text);

                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "cannot write to '%s'", shown),
                                  "-o takes stdout, file, an absolute path, or file:///path");
        }
        *ret_path = destination;
        return NULL;
}

static struct error *make_dirs_above(const char *path)
{
        AUTO_MEM char *dir = str_dup(str_of(path));

        for (char *slash = strchr(dir + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                bool is_new = mkdir(dir, 0755) == 0;

                if ((!is_new && errno != EEXIST) || (is_new && chmod(dir, 0755) < 0)) /* the umask may have removed bits */
                        return error_errno(errno, "cannot make the directory %s", dir);
                *slash = '/';
        }
        return NULL;
}

struct error *output_write(const char *path, struct str text, unsigned mode)
{
        struct error *err = make_dirs_above(path);

        if (err == NULL)
                err = file_write_atomic(path, text, mode);
        if (err != NULL && err->code == ERROR_PERMISSION_DENIED)
                return error_because(
                        error_new(ERROR_PERMISSION_DENIED, "could not write to config file, missing sudo?"), err);
        return err;
}

struct error *output_create(const char *path, struct str text)
{
        AUTO_MEM char *shown = escaped(str_of(path));
        struct stat st;

        if (lstat(path, &st) == 0)
                return error_new(ERROR_ALREADY_EXISTS, "will not overwrite existing file %s, rm -f %s and try again",
                                 shown, shown);
        return output_write(path, text, 0600);
}
