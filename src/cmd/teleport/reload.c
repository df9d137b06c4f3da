/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "cmd/teleport/commands.h"
#include "cmd/teleport/launch.h"
#include "net/socket.h"
#include "resource/config_file.h"
#include "supervisor/reload_result.h"

const struct flag reload_flags[] = {
        { "config", .letter = 'c', .kind = FLAG_TEXT, .value = "FILE", .help = "Configuration file of the service (/etc/teleport.yaml if it exists)" },
        { "config-string", .kind = FLAG_TEXT, .value = "BASE64", .env = "TELEPORT_CONFIG", .is_hidden = true,
          .help = "A whole configuration file in base64" },
        { "data-dir", .kind = FLAG_TEXT, .value = "DIR", .help = "Directory of identity and state of the service (/var/lib/teleport)" },
        { "ca-pin", .kind = FLAG_LIST, .value = "PIN", .is_hidden = true, .help = "Accepted and ignored" },
        { 0 },
};

static struct error *connect_to(const char *data_dir, int *ret_fd)
{
        AUTO_MEM char *path = mem_printf("%s/" RELOAD_SOCKET, data_dir);
        struct error *err = socket_connect_unix(path, ret_fd);

        if (err == NULL)
                return NULL;
        if (err->code == ERROR_PERMISSION_DENIED)
                return error_hint(error_wrap(err, "cannot connect to the service"), "run this as the user that runs teleport, which is root as a rule");
        error_free(err);
        return error_hint(error_new(ERROR_UNAVAILABLE, "no teleport runs with the data directory %s", data_dir),
                          "start it: systemctl start teleport; if teleport.data_dir has changed, only a restart applies that");
}

/* Reads until the supervisor closes the connection. */
static struct error *read_result(int fd, struct buf *out)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char block[1024];
        ssize_t n = -1;

        do {
                int ready = poll(&p, 1, TIMEOUT_RELOAD);

                if (ready < 0 && errno == EINTR)
                        continue;
                if (ready <= 0)
                        return error_hint(error_new(ERROR_DEADLINE_EXCEEDED, "the reload is not done after %d s, and goes on", TIMEOUT_RELOAD / 1000),
                                          "its result will be in the log of the service: journalctl -u teleport");
                n = read(fd, block, sizeof(block));
                if (n > 0)
                        buf_put(out, str_of_bytes(block, (size_t)n));
        } while (n > 0 || (n < 0 && errno == EINTR));
        return NULL;
}

struct error *reload_run(void *ctx, const struct flags *given)
{
        AUTO(launch) l = { 0 };
        AUTO(buf) bytes = BUF_MAX(RELOAD_RESULT_MAX);
        AUTO_FD int fd = -1;
        struct str text;

        (void)ctx;
        struct error *err = launch_prepare_connection(given, &l);
        if (err != NULL)
                return config_file_place(l.config_path, NULL, err);
        TRY(connect_to(l.data_dir, &fd));
        TRY(read_result(fd, &bytes));
        TRY(reload_result_parse(buf_str(&bytes), &text));
        printf("The configuration was reloaded: %.*s\n", STR_ARG(text));
        return NULL;
}
