/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/journal.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "base/text.h"

static bool is_number(struct str text, uint64_t number)
{
        int64_t value;
        AUTO_PTR(error) err = parse_int(text, 0, INT64_MAX, "JOURNAL_STREAM", &value);

        return err == NULL && (uint64_t)value == number;
}

bool journal_is_stream(int fd)
{
        struct str inode = str_of(getenv("JOURNAL_STREAM"));
        struct str device = str_split(&inode, ':');
        struct stat st;

        return fstat(fd, &st) == 0 && is_number(device, st.st_dev) && is_number(inode, st.st_ino);
}

int journal_open(void)
{
        static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -1;
        (void)connect(fd, (const struct sockaddr *)&address, sizeof(address)); /* a send fails then: see log_to_journal() */
        return fd;
}
