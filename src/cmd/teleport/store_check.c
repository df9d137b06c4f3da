/* SPDX-License-Identifier: Apache-2.0 */
/* teleport store check: whether the state of the cluster in the data directory is sound, while teleport is stopped. */
#include <stdio.h>

#include "backup/data_check.h"
#include "backup/restore.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/teleport/commands.h"
#include "cmd/teleport/data_dirs.h"
#include "os/file.h"

const struct flag store_check_flags[] = {
        DATA_DIRS_FLAGS,
        { 0 },
};

static void print_part(const struct data_check *c, enum data_part part)
{
        const struct error *err = c->parts[part].err;
        struct str found = buf_str(&c->parts[part].found);

        if (err == NULL && str_is_empty(found))
                printf("%-9s: not checked\n", data_part_name(part));
        else if (err == NULL)
                printf("%-9s: ok, %.*s\n", data_part_name(part), STR_ARG(found));
        else
                printf("%-9s: FAILED, %s\n", data_part_name(part), err->what);
}

struct error *store_check_run(void *ctx, const struct flags *given)
{
        AUTO_PTR(arena) arena = arena_new(4 * MiB);
        AUTO(data_check) check = { 0 };
        struct data_dirs dirs;

        (void)ctx;
        TRY(data_dirs_find(given, arena, &dirs));
        TRY(restore_check_finished(dirs.data_dir));
        if (dir_is_locked(dirs.data_dir))
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "teleport is running with the data directory %s", dirs.data_dir),
                                  "stop it first; a running Auth Service has checked its store at its start, and checks each record that it reads");
        data_check_run(&check, dirs.data_dir, (struct store_options){ .path = dirs.store });
        for (size_t i = 0; i < DATA_PARTS; i++)
                print_part(&check, (enum data_part)i);
        fflush(stdout); /* before main writes the error to stderr */
        const struct error *first = data_check_error(&check);
        return first == NULL ? NULL : error_copy(first);
}
