/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

void notify_manager(const char *state)
{
        struct str path = str_of(getenv("NOTIFY_SOCKET"));
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        /* A path, or an abstract name written with '@'. */
        if (path.len < 2 || path.len > sizeof(address.sun_path) || (path.ptr[0] != '/' && path.ptr[0] != '@'))
                return;
        memcpy(address.sun_path, path.ptr, path.len);
        if (address.sun_path[0] == '@')
                address.sun_path[0] = '\0';

        AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len);
        if (fd >= 0)
                (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, length);
}
