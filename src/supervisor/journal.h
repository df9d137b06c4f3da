/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of systemd as destination of the log: base/log_journal.h has the format of its entries. */
#ifndef SUPERVISOR_JOURNAL_H
#define SUPERVISOR_JOURNAL_H

#include <stdbool.h>

/* Whether the manager has connected this descriptor to the journal: $JOURNAL_STREAM has its device and inode (systemd.exec(5)). */
bool journal_is_stream(int fd);

/*
 * A datagram socket for entries, owned by the caller. Each service process is given one, since their sandboxes permit no
 * connections by path. A send fails if journald could not be reached here. -1: there are no descriptors.
 */
int journal_open(void);

#endif
