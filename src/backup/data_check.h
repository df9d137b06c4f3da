/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a data directory while no Auth Service uses it: the database page by page and record by record, the CA, and that both
 * are of one cluster, and the end of the audit log. Nothing is changed but the lock file of the database.
 *
 * Root reads the directories of services with the rights of their owners, so that a file of a service leads nowhere else.
 */
#ifndef BACKUP_DATA_CHECK_H
#define BACKUP_DATA_CHECK_H

#include "base/buf.h"
#include "base/error.h"
#include "store/store.h"

enum data_part { DATA_DATABASE, DATA_RECORDS, DATA_CA, DATA_AUDIT_LOG, DATA_PARTS };

struct data_check {
        struct {
                struct error *err; /* NULL: the part is sound */
                struct buf found;  /* a sentence about it */
        } parts[DATA_PARTS];
        struct buf cluster; /* its name in the database */
        struct buf pin;     /* of the host CA: "sha256:…" */
        struct store_checked store;
};
void data_check_release(struct data_check *c);

/* The name of a part in the output. */
const char *data_part_name(enum data_part part);

/* Fills a zeroed *c. store: type and path of the database. Blocks. */
void data_check_run(struct data_check *c, const char *data_dir, struct store_options store);

/* The first error, borrowed; NULL: everything is sound. */
const struct error *data_check_error(const struct data_check *c);

#endif
