/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts hosts and tokens into the store of a stopped Auth Service, for tests of large clusters.
 *
 *      full_store DATA_DIR HOSTS TOKENS
 */
#include <stdio.h>
#include <stdlib.h>

#include "fill.h"

int main(int argc, char **argv)
{
        if (argc != 4) {
                fprintf(stderr, "usage: full_store DATA_DIR HOSTS TOKENS\n");
                return 1;
        }
        fill_cluster(argv[1], strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
        return 0;
}
