/* SPDX-License-Identifier: Apache-2.0 */
#include "client/openssh.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

/* Hosts have Ed25519 keys, and nobody is believed without a certificate for them. */
#define HOST_KEY_ALGORITHMS "ssh-ed25519-cert-v01@openssh.com"

enum { COMMAND_MAX = 16 * KiB };

/* ---- words -------------------------------------------------------------------------------------------------- */

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

/* ssh takes '%' for the beginning of a token, then hands the rest to a shell. */
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

/* In ssh's own words, with why where it is not plain. */
static const struct {
        const char *name;
        enum option_value kind;
        const char *value;
        bool is_for_config_too;
} options[] = {
        { "UserKnownHostsFile", VALUE_KNOWN_HOSTS, NULL, true },
        { "GlobalKnownHostsFile", VALUE_FIXED, "/dev/null", true },
        { "StrictHostKeyChecking", VALUE_FIXED, "yes", true },
        { "HostKeyAlgorithms", VALUE_FIXED, HOST_KEY_ALGORITHMS, true },
        /* Before ssh's own first choice: processors have AES, and a session's bytes pass five processes. */
        { "Ciphers", VALUE_FIXED, "^aes128-gcm@openssh.com,aes256-gcm@openssh.com", true },
        { "VerifyHostKeyDNS", VALUE_FIXED, "no", true },
        { "UpdateHostKeys", VALUE_FIXED, "no", true }, /* the CA's line is all there is to know */
        { "CheckHostIP", VALUE_FIXED, "no", true },    /* of a tunnel there is none */
        { "IdentityFile", VALUE_SSH_KEY, NULL, true },
        { "CertificateFile", VALUE_SSH_CERT, NULL, true },
        { "IdentitiesOnly", VALUE_FIXED, "yes", true },
        { "PreferredAuthentications", VALUE_FIXED, "publickey", true },
        { "SendEnv", VALUE_FIXED, "LANG LC_*", true }, /* nodes accept these, as a distribution's sshd does */
        { "CanonicalizeHostname", VALUE_FIXED, "no", true },
        /* A connection kept from another program would bring that program's identity. */
        { "ControlMaster", VALUE_FIXED, "no", false },
        { "ControlPath", VALUE_FIXED, "none", false },
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

/* `where` names the node, a shell word already. */
static void put_proxy_command(struct buf *out, const struct profile *p, const char *self, const char *home, struct str where)
{
        if (home != NULL) {
                buf_put_c(out, "/usr/bin/env ");
                put_command_word(out, "TELEPORT_HOME=", home);
                buf_put_char(out, ' ');
        }
        put_command_word(out, "", self);
        buf_put_c(out, " proxy ssh ");
        put_command_word(out, "--cluster=", p->cluster);
        buf_put_char(out, ' ');
        put_command_word(out, "--proxy=", p->web_addr);
        buf_put_char(out, ' ');
        put_command_word(out, "--user=", p->user);
        buf_put_char(out, ' ');
        buf_put(out, where);
}

void openssh_add_options(struct words *w, const struct profile *p, const char *self, const char *relay)
{
        AUTO(buf) command = BUF_MAX(4 * COMMAND_MAX);

        words_add(w, "-F");
        words_add(w, "none");
        for (size_t i = 0; i < ARRAY_LEN(options); i++) {
                words_add(w, "-o");
                /* Paths may have blanks; profile.c lets none in that quotes do not protect. */
                words_printf(w, options[i].kind == VALUE_FIXED ? "%s=%s" : "%s=\"%s\"", options[i].name, option_value(p, i));
        }
        if (relay == NULL) {
                put_proxy_command(&command, p, self, NULL, STR("'%r@%h'"));
        } else {
                put_command_word(&command, "", self);
                buf_put_c(&command, " proxy attach ");
                put_command_word(&command, "", relay);
        }
        words_add(w, "-o");
        words_add(w, relay == NULL ? "ProxyUseFdpass=no" : "ProxyUseFdpass=yes");
        words_add(w, "-o");
        words_printf(w, "ProxyCommand=%s", buf_c(&command));
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
        TRY(check_line(self));
        if (home != NULL)
                TRY(check_line(home));
        buf_printf(out, "# Begin generated Teleport configuration for %s by tsh\n\n", p->proxy_host);
        buf_printf(out, "# Nodes of %s: ssh NODE.%s\nHost *.%s !%s\n", p->cluster, p->cluster, p->cluster, p->proxy_host);
        for (size_t i = 0; i < ARRAY_LEN(options); i++)
                if (options[i].is_for_config_too)
                        buf_printf(out, options[i].kind == VALUE_FIXED ? "    %s %s\n" : "    %s \"%s\"\n", options[i].name,
                                   option_value(p, i));
        buf_put_c(out, "    Port 3022\n    ProxyCommand ");
        put_proxy_command(out, p, self, home, STR("'%r@%h:%p'"));
        buf_put_c(out, "\n\n# End generated Teleport configuration\n");
        return NULL;
}

struct error *openssh_self(struct arena *a, const char **ret)
{
        char path[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", path, sizeof path);

        if (n < 0 || (size_t)n == sizeof path)
                return error_errno(n < 0 ? errno : ENAMETOOLONG, "cannot tell where this program is");
        *ret = str_to_c(a, str_of_bytes(path, (size_t)n));
        return check_line(*ret);
}
