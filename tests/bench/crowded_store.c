/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts hosts and tokens into the store of a stopped Auth Service, for tests of large clusters.
 *
 *      crowded_store DATA_DIR HOSTS TOKENS
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "fill.h"

/* The store is the Auth Service's user's; the next start takes over again what root has made here. */
static void take_back(const char *data_dir)
{
        AUTO_MEM char *dir = mem_printf("%s/backend", data_dir);

        if (geteuid() == 0 && chown(dir, 0, 0) < 0 && errno != ENOENT) {
                perror(dir);
                exit(1);
        }
}

int main(int argc, char **argv)
{
        if (argc != 4) {
                fprintf(stderr, "usage: crowded_store DATA_DIR HOSTS TOKENS\n");
                return 1;
        }
        take_back(argv[1]);
        fill_cluster(argv[1], strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
        return 0;
}
