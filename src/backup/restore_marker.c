/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "backup/restore.h"
#include "base/mem.h"

char *restore_marker_path(const char *data_dir)
{
        return mem_printf("%s/%s", data_dir, RESTORE_MARKER);
}

struct error *restore_check_finished(const char *data_dir)
{
        AUTO_MEM char *path = restore_marker_path(data_dir);

        if (access(path, F_OK) != 0)
                return NULL;
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "a restore into %s was interrupted: it has a part of a cluster only", data_dir),
                          "run teleport restore again, with the same backup; it removes the part first");
}
