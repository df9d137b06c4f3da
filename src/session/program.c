/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/text.h"
#include "session/session_internal.h"

enum { ENVIRONMENT_ADDED = 16 };

/* ---- the request ----------------------------------------------------------------------------------------- */

static struct str base_name(struct str path)
{
        for (size_t i = path.len; i > 0; i--)
                if (path.ptr[i - 1] == '/')
                        return str_slice(path, i, path.len);
        return path;
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\n';
}

/* The next word as a shell separates words, without quotes and backslashes; cut at `size`, longer than every word compared. */
static struct str next_word(struct str *rest, char *room, size_t size)
{
        size_t at = 0, len = 0;

        while (at < rest->len && is_blank(rest->ptr[at]))
                at++;
        for (; at < rest->len && !is_blank(rest->ptr[at]); at++)
                if (strchr("'\"\\", rest->ptr[at]) == NULL && len < size)
                        room[len++] = rest->ptr[at];
        *rest = str_slice(*rest, at, rest->len);
        return (struct str){ room, len };
}

enum { WORD_MAX = 4 * KiB };

/* The program of a command, after variable assignments and after words with which a shell runs another program. */
static struct str program_word(struct str *rest, char *room, size_t size)
{
        static const char *const before[] = { "exec", "command", "env", "nohup" };
        struct str word;
        bool is_before;

        do {
                word = next_word(rest, room, size);
                is_before = str_find_char(word, '=') < word.len;
                for (size_t i = 0; i < ARRAY_LEN(before); i++)
                        is_before |= str_equal(base_name(word), str_of(before[i]));
        } while (is_before);
        return base_name(word);
}

/* `scp -t` and `scp -f` are the far ends of a copy; other flags may precede them. `rest` is the text after the program. */
static bool is_far_end(struct str rest)
{
        char room[WORD_MAX];

        for (;;) {
                struct str flag = next_word(&rest, room, sizeof room);

                if (!str_starts_with(flag, STR("-")) || str_equal(flag, STR("--")))
                        return false;
                for (size_t i = 1; i < flag.len; i++)
                        if (flag.ptr[i] == 't' || flag.ptr[i] == 'f')
                                return true;
        }
}

/* Whether the command is exactly sshd's Subsystem option: the node's sftp-server with our flags. Only its log is trusted. */
static bool is_our_sftp(struct str command, const char *sftp_server)
{
        struct str flags = command, path = str_split(&flags, ' ');

        return sftp_server != NULL && str_equal(path, str_of(sftp_server)) && str_equal(flags, STR("-e -l INFO"));
}

struct session_request session_request_of(const char *command, const char *sftp_server, bool has_pty)
{
        struct session_request request = { .kind = "shell", .command = command, .has_pty = has_pty };
        struct str words = str_trim(str_of(command)), rest = words;
        char room[WORD_MAX];

        if (command == NULL)
                return request;
        request.kind = "exec";
        request.is_subsystem = is_our_sftp(words, sftp_server) && !has_pty;
        struct str program = program_word(&rest, room, sizeof room);
        if (str_equal(program, STR("sftp-server")))
                request.kind = "sftp";
        else if (str_equal(program, STR("scp")) && is_far_end(rest))
                request.kind = "scp";
        return request;
}

/* ---- the environment --------------------------------------------------------------------------------------- */

/* Variables about sshd's own terminal and connection, or set by this program. The values of the session are added below. */
static const char *const dropped[] = {
        "SSH_ORIGINAL_COMMAND", "SSH_TTY", "SSH_CLIENT", "SSH_CONNECTION", "SSH_SESSION_ID", "SSH_TELEPORT_USER",
        "SSH_TELEPORT_CLUSTER_NAME", "SSH_TELEPORT_HOST_UUID", "SSH_SESSION_WEBPROXY_ADDR", "TELEPORT_SESSION", "SSH_USER_AUTH",
};

static bool is_dropped(const char *entry)
{
        struct str name = str_of(entry);

        name = str_split(&name, '=');
        for (size_t i = 0; i < ARRAY_LEN(dropped); i++)
                if (str_equal(name, str_of(dropped[i])))
                        return true;
        return false;
}

const char *session_variable(const char *const *environment, const char *name)
{
        for (size_t len = strlen(name); *environment != NULL; environment++)
                if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
                        return *environment + len + 1;
        return NULL;
}

/* "192.0.2.7:50122" or "[2001:db8::7]:50122". */
static void split_address(struct str address, struct str *ret_host, struct str *ret_port)
{
        size_t colon = address.len;

        for (size_t i = 0; i < address.len; i++)
                if (address.ptr[i] == ':')
                        colon = i;
        *ret_host = str_slice(address, 0, colon);
        *ret_port = str_slice(address, colon + 1, address.len);
        if (str_starts_with(*ret_host, STR("[")) && str_ends_with(*ret_host, STR("]")))
                *ret_host = str_slice(*ret_host, 1, ret_host->len - 2);
}

static void add(const char **envp, size_t *count, const char *entry)
{
        envp[(*count)++] = entry;
}

/* sshd's end of the connection is a socketpair, which has no address. */
static void add_connection(struct arena *a, const char **envp, size_t *count, const char *client_addr)
{
        struct str host, port;

        split_address(str_of(client_addr), &host, &port);
        if (host.len == 0 || port.len == 0)
                return;
        add(envp, count, arena_printf(a, "SSH_CLIENT=%.*s %.*s 0", STR_ARG(host), STR_ARG(port)));
        add(envp, count, arena_printf(a, "SSH_CONNECTION=%.*s %.*s 127.0.0.1 0", STR_ARG(host), STR_ARG(port)));
}

static const char **plan_environment(struct arena *a, const char *const *environment,
                                     const Cteleport__Session__V1__Approval *approval, const char *tty)
{
        size_t inherited = 0, count = 0;

        while (environment[inherited] != NULL)
                inherited++;
        const char **envp = arena_alloc(a, (inherited + ENVIRONMENT_ADDED) * sizeof *envp);
        for (size_t i = 0; i < inherited; i++)
                if (!is_dropped(environment[i]))
                        add(envp, &count, environment[i]);
        add_connection(a, envp, &count, approval->client_addr);
        if (tty != NULL)
                add(envp, &count, arena_printf(a, "SSH_TTY=%s", tty));
        add(envp, &count, arena_printf(a, "SSH_SESSION_ID=%s", approval->session_id));
        add(envp, &count, arena_printf(a, "TELEPORT_SESSION=%s", approval->session_id));
        add(envp, &count, arena_printf(a, "SSH_TELEPORT_USER=%s", approval->user));
        add(envp, &count, arena_printf(a, "SSH_TELEPORT_CLUSTER_NAME=%s", approval->cluster));
        add(envp, &count, arena_printf(a, "SSH_TELEPORT_HOST_UUID=%s", approval->host_id));
        add(envp, &count, arena_printf(a, "SSH_SESSION_WEBPROXY_ADDR=%s", approval->proxy_addr));
        envp[count] = NULL;
        return envp;
}

/* ---- the program ---------------------------------------------------------------------------------------------- */

static const char **words(struct arena *a, const char *w0, const char *w1, const char *w2, const char *w3)
{
        const char **argv = arena_alloc(a, 5 * sizeof *argv);

        argv[0] = w0;
        argv[1] = w1;
        argv[2] = w2;
        argv[3] = w3;
        return argv;
}

void session_program_plan(struct arena *a, const struct session_request *request, const Cteleport__Session__V1__Approval *approval,
                          const char *tty, struct session_program *ret)
{
        const char *shell = request->shell;
        const char *name = base_name(str_of(shell)).ptr;

        *ret = (struct session_program){ .path = shell, .envp = plan_environment(a, request->environment, approval, tty) };
        if (request->command == NULL) {
                ret->argv = words(a, arena_printf(a, "-%s", name == NULL ? "sh" : name), NULL, NULL, NULL);
        } else if (request->is_subsystem) {
                struct str rest = str_trim(str_of(request->command));

                ret->path = str_to_c(a, str_split(&rest, ' '));
                ret->argv = words(a, "sftp-server", "-e", "-l", "VERBOSE"); /* INFO does not show which operation has failed */
        } else {
                ret->argv = words(a, name == NULL ? "sh" : name, "-c", request->command, NULL);
        }
}
