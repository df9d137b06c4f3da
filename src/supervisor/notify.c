/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/text.h"

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

void notify_reloading(void)
{
        AUTO_MEM char *state = mem_printf("RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_now(clock_system()).ns / 1000);

        notify_manager(state);
}

/* The value of a variable; 0 if it is absent or no positive number. */
static int64_t number_of(const char *name)
{
        int64_t value = 0;
        const char *text = getenv(name);
        AUTO_PTR(error) err = text == NULL ? NULL : parse_int(str_of(text), 1, INT64_MAX / 1000, name, &value);

        return err == NULL ? value : 0;
}

int64_t notify_watchdog_usec(void)
{
        if (getenv("WATCHDOG_PID") != NULL && number_of("WATCHDOG_PID") != (int64_t)getpid())
                return 0; /* it is for another process */
        return number_of("WATCHDOG_USEC");
}
