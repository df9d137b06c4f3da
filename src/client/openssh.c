/* SPDX-License-Identifier: Apache-2.0 */
#include "client/openssh.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/socket.h"
#include "os/file.h"
#include "pki/cert.h"

/* Hosts have Ed25519 keys and must have a certificate for them. */
#define HOST_KEY_ALGORITHMS "ssh-ed25519-cert-v01@openssh.com"

enum { COMMAND_MAX = 16 * KiB, KNOWN_HOSTS_MAX = 256 * KiB };

/* ---- lists of words and quoting ----------------------------------------------------------------------------- */

void words_add(struct words *w, const char *word)
{
        if (w->count + 2 > w->room) {
                const char **old = w->list;

                w->room = 2 * w->room + 32;
                w->list = arena_alloc(w->arena, w->room * sizeof *w->list);
                if (w->count > 0)
                        memcpy(w->list, old, w->count * sizeof *old);
        }
        w->list[w->count++] = word;
        w->list[w->count] = NULL;
}

void words_printf(struct words *w, const char *format, ...)
{
        AUTO_MEM char *text = NULL;
        va_list args;

        va_start(args, format);
        int n = vasprintf(&text, format, args);
        va_end(args);
        words_add(w, n < 0 ? "" : str_to_c(w->arena, str_of_bytes(text, (size_t)n)));
}

void shell_put_word(struct buf *out, struct str word)
{
        buf_put_char(out, '\'');
        for (size_t i = 0; i < word.len; i++) {
                if (word.ptr[i] == '\'')
                        buf_put_c(out, "'\\''");
                else
                        buf_put_char(out, word.ptr[i]);
        }
        buf_put_char(out, '\'');
}

/* ssh expands tokens that begin with '%', then passes the rest to a shell. */
static void put_command_word(struct buf *out, const char *prefix, const char *word)
{
        AUTO(buf) doubled = BUF_MAX(COMMAND_MAX);

        buf_put_c(&doubled, prefix);
        for (const char *at = word; *at != '\0'; at++)
                buf_put_c(&doubled, *at == '%' ? "%%" : (char[]){ *at, '\0' });
        shell_put_word(out, buf_str(&doubled));
}

/* ---- options -------------------------------------------------------------------------------------------------- */

enum option_value { VALUE_FIXED, VALUE_KNOWN_HOSTS, VALUE_SSH_KEY, VALUE_SSH_CERT };

/* Options of ssh_config, with the reason where it is not obvious. */
static const struct {
        const char *name;
        enum option_value kind;
        const char *value;
        bool is_for_config_too;
} options[] = {
        { "UserKnownHostsFile", VALUE_KNOWN_HOSTS, NULL, false }, /* the configuration has a KnownHostsCommand instead */
        { "GlobalKnownHostsFile", VALUE_FIXED, "/dev/null", true },
        { "StrictHostKeyChecking", VALUE_FIXED, "yes", true },
        { "HostKeyAlgorithms", VALUE_FIXED, HOST_KEY_ALGORITHMS, true },
        /* Preferred to ssh's first choice: processors implement AES, and the data of a session passes five processes. */
        { "Ciphers", VALUE_FIXED, "^aes128-gcm@openssh.com,aes256-gcm@openssh.com", true },
        { "VerifyHostKeyDNS", VALUE_FIXED, "no", true },
        { "UpdateHostKeys", VALUE_FIXED, "no", true }, /* the CA's line is the only one */
        { "CheckHostIP", VALUE_FIXED, "no", true },    /* a tunnel has no IP address */
        { "IdentityFile", VALUE_SSH_KEY, NULL, true },
        { "CertificateFile", VALUE_SSH_CERT, NULL, true },
        { "IdentitiesOnly", VALUE_FIXED, "yes", true },
        { "PreferredAuthentications", VALUE_FIXED, "publickey", true },
        { "SendEnv", VALUE_FIXED, "LANG LC_*", true }, /* nodes accept these variables, as the sshd of distributions does */
        { "CanonicalizeHostname", VALUE_FIXED, "no", true },
};

static const char *option_value(const struct profile *p, size_t row)
{
        switch (options[row].kind) {
        case VALUE_FIXED:
                return options[row].value;
        case VALUE_KNOWN_HOSTS:
                return p->known_hosts;
        case VALUE_SSH_KEY:
                return p->ssh_key;
        case VALUE_SSH_CERT:
                return p->ssh_cert;
        }
        return "";
}

/* `what` is the command, such as "proxy ssh"; `where` names the node, and is quoted already. */
static void put_command(struct buf *out, const struct profile *p, const char *self, const char *home, const char *what, struct str where)
{
        if (home != NULL) {
                buf_put_c(out, "/usr/bin/env ");
                put_command_word(out, "TELEPORT_HOME=", home);
                buf_put_char(out, ' ');
        }
        put_command_word(out, "", self);
        buf_printf(out, " %s ", what);
        put_command_word(out, "--cluster=", p->cluster);
        buf_put_char(out, ' ');
        put_command_word(out, "--proxy=", p->web_addr);
        buf_put_char(out, ' ');
        put_command_word(out, "--user=", p->user);
        buf_put_char(out, ' ');
        buf_put(out, where);
}

/* Shares connections between processes of tsh only: a connection of another program would use that program's identity. */
static void add_sharing(struct words *w, const struct profile *p, const struct mux *mux)
{
        int64_t left = (p->not_after.ns - clock_wall(clock_system()).ns) / SECONDS(1).ns;
        int64_t idle = TIMEOUT_MUX_IDLE / 1000;
        bool is_shared = mux != NULL && mux->path != NULL;

        words_add(w, "-o");
        words_printf(w, "ControlMaster=%s", is_shared && !mux->is_alive ? "auto" : "no");
        words_add(w, "-o");
        words_printf(w, "ControlPath=%s", is_shared ? mux->path : "none");
        if (is_shared && !mux->is_alive) {
                words_add(w, "-o");
                words_printf(w, "ControlPersist=%lld", (long long)(left < 1 ? 1 : left < idle ? left : idle));
        }
}

void openssh_add_options(struct words *w, const struct profile *p, const char *self, const char *relay, const struct mux *mux)
{
        AUTO(buf) command = BUF_MAX(4 * COMMAND_MAX);

        words_add(w, "-F");
        words_add(w, "none");
        for (size_t i = 0; i < ARRAY_LEN(options); i++) {
                words_add(w, "-o");
                /* Paths may have blanks; profile.c refuses characters that quotes do not protect. */
                words_printf(w, options[i].kind == VALUE_FIXED ? "%s=%s" : "%s=\"%s\"", options[i].name, option_value(p, i));
        }
        if (mux != NULL && mux->is_alive) { /* if the connection is gone or full: ssh prints nothing, and tsh makes another */
                words_add(w, "-o");
                words_add(w, "LogLevel=QUIET");
                buf_printf(&command, "sh -c 'kill -USR1 %ld'", (long)getpid());
        } else if (relay == NULL) {
                put_command(&command, p, self, NULL, "proxy ssh", STR("'%r@%h'"));
        } else {
                put_command_word(&command, "", self);
                buf_put_c(&command, " proxy attach ");
                put_command_word(&command, "", relay);
        }
        words_add(w, "-o");
        words_add(w, relay == NULL ? "ProxyUseFdpass=no" : "ProxyUseFdpass=yes");
        words_add(w, "-o");
        words_printf(w, "ProxyCommand=%s", buf_c(&command));
        add_sharing(w, p, mux);
}

void openssh_add_host_id(struct words *w, const struct profile *p, const char *host_id)
{
        words_add(w, "-o");
        words_printf(w, "HostKeyAlias=%s.%s", host_id, p->cluster);
}

/* ---- known hosts ------------------------------------------------------------------------------------------------ */

static struct error *check_certificate(struct arena *a, const struct profile *p, const char *key, const char *host_id)
{
        AUTO(buf) wire = BUF_MAX(CERT_MAX);
        const char *whole = arena_printf(a, "%s.%s", host_id, p->cluster);
        struct ssh_cert_info cert;

        TRY(base64_decode(&wire, str_of(key)));
        TRY(ssh_cert_read(a, buf_str(&wire), &cert));
        if (cert.kind != SSH_CERT_HOST)
                return error_new(ERROR_UNAUTHENTICATED, "the host does not present a host certificate");
        for (size_t i = 0; i < cert.principal_count; i++)
                if (str_equal(cert.principals[i], str_of(whole)))
                        return NULL;
        AUTO_MEM char *shown = escaped(cert.key_id);
        return error_hint(error_new(ERROR_UNAUTHENTICATED, "another host answers: %s instead of %s", shown, host_id),
                          "report it to an administrator: the proxy connected to the wrong host, or the host has just been replaced");
}

/* Whether a line of known_hosts is about all hosts of the cluster; *rest gets the text after the names. */
static bool is_about_cluster(struct str line, const char *cluster, struct str *rest)
{
        struct str marker = str_split(&line, ' '), names = str_split(&line, ' ');
        AUTO_MEM char *pattern = mem_printf("*.%s", cluster);

        *rest = line;
        if (!str_equal(marker, STR("@cert-authority")))
                return false;
        while (!str_is_empty(names))
                if (str_equal(str_split(&names, ','), str_of(pattern)))
                        return true;
        return false;
}

struct error *openssh_put_known_host(struct buf *out, const struct profile *p, const char *host, const char *key, const char *host_id)
{
        AUTO_PTR(arena) a = arena_new(4 * CERT_MAX);
        AUTO(buf) file = BUF_MAX(KNOWN_HOSTS_MAX);
        struct str rest;

        for (const char *at = host; *at != '\0'; at++)
                if (!char_is_alnum(*at) && strchr(".-_:[]", *at) == NULL)
                        return error_new(ERROR_INVALID_ARGUMENT, "the host is named by characters that no line of known_hosts can hold");
        struct error *err = check_certificate(a, p, key, host_id);
        if (err != NULL)
                return error_wrap(err, "the host is not believed");
        TRY(file_read(p->known_hosts, &file));
        for (struct str lines = buf_str(&file); !str_is_empty(lines);) {
                struct str line = str_split(&lines, '\n');

                if (is_about_cluster(line, p->cluster, &rest))
                        buf_printf(out, "@cert-authority %s %.*s\n", host, STR_ARG(rest));
        }
        return buf_finish(out, "the lines for ssh");
}

/* ---- ssh_config ------------------------------------------------------------------------------------------------- */

static struct error *check_line(const char *path)
{
        for (const char *at = path; *at != '\0'; at++)
                if ((unsigned char)*at < ' ' || *at == 0x7f) {
                        AUTO_MEM char *shown = escaped(str_of(path));

                        return error_new(ERROR_INVALID_ARGUMENT, "the path %s cannot be written in ssh's configuration", shown);
                }
        return NULL;
}

struct error *openssh_put_config(struct buf *out, const struct profile *p, const char *self, const char *home)
{
        struct str proxy;
        int port;

        TRY(check_line(self));
        if (home != NULL)
                TRY(check_line(home));
        TRY(address_split(str_of(p->web_addr), 0, &proxy, &port));
        buf_printf(out, "# Begin generated Teleport configuration for %s by tsh\n\n", p->proxy_host);
        buf_printf(out, "# Nodes of %s: ssh NODE.%s\nHost *.%s !%.*s", p->cluster, p->cluster, p->cluster, STR_ARG(proxy));
        for (size_t i = 0; i < p->inner_count; i++)
                buf_printf(out, " !%s !*.%s", p->inner[i], p->inner[i]);
        buf_put_char(out, '\n');
        for (size_t i = 0; i < ARRAY_LEN(options); i++)
                if (options[i].is_for_config_too)
                        buf_printf(out, options[i].kind == VALUE_FIXED ? "    %s %s\n" : "    %s \"%s\"\n", options[i].name,
                                   option_value(p, i));
        buf_put_c(out, "    Port 3022\n    ProxyCommand ");
        put_command(out, p, self, home, "proxy ssh", STR("'%r@%h:%p'"));
        /* No file of known hosts is used, because ssh trusts its lines by name only. ssh runs the command once it has the key. */
        buf_put_c(out, "\n    UserKnownHostsFile /dev/null\n    KnownHostsCommand ");
        put_command(out, p, self, home, "proxy known-host", STR("'%r@%h' '%H' '%K'"));
        buf_put_c(out, "\n\n# End generated Teleport configuration\n");
        return NULL;
}

struct error *openssh_self(struct arena *a, const char **ret)
{
        char path[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", path, sizeof path);

        if (n < 0 || (size_t)n == sizeof path)
                return error_errno(n < 0 ? errno : ENAMETOOLONG, "cannot find the path of this program");
        *ret = str_to_c(a, str_of_bytes(path, (size_t)n));
        return check_line(*ret);
}
