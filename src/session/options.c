/* SPDX-License-Identifier: Apache-2.0 */
/* Parses the options of ssh-authorize and ssh-session. */
#include <string.h>

#include "base/error.h"
#include "session/session_internal.h"

/* Options end at the first word without '-', except for argv[1], the command: words after it come from a client of sshd. */
static const char *option(int argc, char **argv, const char *name, int *at)
{
        while (++*at < argc && (*at == 1 || argv[*at][0] == '-'))
                if (strncmp(argv[*at], name, strlen(name)) == 0)
                        return argv[*at] + strlen(name);
        return NULL;
}

static const char *first_option(int argc, char **argv, const char *name)
{
        int at = 0;

        return option(argc, argv, name, &at);
}

struct error *session_options_read(int argc, char **argv, struct session_options *ret)
{
        *ret = (struct session_options){
                .socket = first_option(argc, argv, "--socket="),
                .connection = first_option(argc, argv, "--connection="),
                .sftp = first_option(argc, argv, "--sftp="),
                .host_id = first_option(argc, argv, "--host="),
                .has_no_port_forwarding = first_option(argc, argv, "--no-port-forwarding") != NULL,
                .shell = first_option(argc, argv, "--shell="),
                .server = 0,
        };
        int at = 0;
        for (const char *ca; ret->ca_count < SESSION_CAS_MAX && (ca = option(argc, argv, "--ca=", &at)) != NULL;)
                ret->cas[ret->ca_count++] = ca;
        if (ret->socket == NULL || ret->connection == NULL)
                return error_hint(error_new(ERROR_INVALID_ARGUMENT, "--socket and --connection are missing"),
                                  "sshd starts this command; to log in run: tsh ssh");
        return NULL;
}
