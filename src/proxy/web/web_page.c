/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/web_page.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "pki/key.h"
#include "proxy/web/assets.h"
#include "http/html.h"
#include "proxy/web/qr.h"
#include "proxy/web/web_internal.h"

/* ---- text ------------------------------------------------------------------------------------------ */

static void put_error(struct buf *out, const struct error *err)
{
        if (err == NULL)
                return;
        buf_put_c(out, "<div class=\"bad\" role=\"alert\">");
        html_put_sentence(out, err->what);
        if (err->hint != NULL) {
                buf_put_char(out, ' ');
                html_put_sentence(out, err->hint);
        }
        buf_put_c(out, "</div>\n");
}

/* Puts " in the cluster <b>example.com</b>", if the cluster is known. */
static void put_cluster(struct buf *out, const char *before, struct str cluster)
{
        if (str_is_empty(cluster))
                return;
        buf_printf(out, "%s<b>", before);
        html_put(out, cluster);
        buf_put_c(out, "</b>");
}

static void put_login_command(struct buf *out, const struct web_page *page)
{
        buf_put_c(out, "<pre>tsh login --proxy=");
        if (str_is_empty(page->proxy))
                buf_put_c(out, "&lt;this host&gt;");
        html_put(out, page->proxy);
        buf_put_c(out, " \\\n    --user=");
        if (str_is_empty(page->user))
                buf_put_c(out, "&lt;your name&gt;");
        html_put(out, page->user);
        buf_put_c(out, "</pre>\n");
}

/* ---- the response around a page ------------------------------------------------------------------------ */

#define FIELDS(more)                                                                                                     \
        "Content-Security-Policy: default-src 'none'; style-src 'self'; img-src 'self';" more                            \
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'\r\n"                                               \
        "Cache-Control: no-store\r\n"                                                                                    \
        "Referrer-Policy: no-referrer\r\n"                                                                               \
        "X-Content-Type-Options: nosniff\r\n"                                                                            \
        "X-Frame-Options: DENY\r\n"                                                                                      \
        "Cross-Origin-Opener-Policy: same-origin\r\n"                                                                    \
        "Cross-Origin-Resource-Policy: same-origin\r\n"                                                                  \
        "Strict-Transport-Security: max-age=31536000\r\n"

static const char page_fields[] = FIELDS("");
const char web_page_fields[] = FIELDS(" script-src 'self'; connect-src 'self';");

void web_put_head(struct buf *out, const char *title)
{
        html_print(out,
                   "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                   "<meta name=\"robots\" content=\"noindex\">\n<title>%s</title>\n"
                   "<link rel=\"icon\" href=\"%s\">\n<link rel=\"stylesheet\" href=\"%s\">\n</head>\n",
                   title, web_asset_url("icon.svg"), web_asset_url("style.css"));
}

static void respond(struct http_exchange *x, const struct web_page *page, const char *title, struct str content)
{
        AUTO(buf) body = BUF_MAX(WEB_PAGE_MAX);
        AUTO(buf) fields = BUF_MAX(4 * KiB);
        web_put_head(&body, title);
        html_print(&body, "<body class=\"narrow\">\n<main class=\"card\">\n<h1>%s</h1>\n", title);
        buf_put(&body, content);
        buf_put_c(&body, "</main>\n</body>\n</html>\n");
        buf_put_c(&fields, page_fields);
        if (page->cookie != NULL)
                buf_printf(&fields, "Set-Cookie: %s\r\n", page->cookie);
        http_respond(x, (struct http_response){ .status = page->status, .content_type = "text/html; charset=utf-8",
                                                .fields = buf_c(&fields), .body = buf_str(&body) });
}

/* ---- pages ------------------------------------------------------------------------------------------- */

void web_respond_landing(struct http_exchange *x, const struct web_page *page)
{
        AUTO(buf) b = BUF_MAX(WEB_PAGE_MAX);
        buf_put_c(&b, "<p>This is the proxy of the cluster");
        put_cluster(&b, " ", page->cluster);
        buf_put_c(&b, ". <a href=\"/web\">Log in with this browser</a>, or from a terminal:</p>\n");
        put_login_command(&b, page);
        buf_put_c(&b, "<p class=\"soft\">No account yet? An administrator can invite you: you will then get a link to this"
                      " host.</p>\n");
        respond(x, page, "Cluster access", buf_str(&b));
}

/* Puts the key in groups of four characters, as users type it. */
static void put_secret(struct buf *out, struct str secret)
{
        buf_put_c(out, "<pre>");
        for (size_t i = 0; i < secret.len; i++) {
                if (i > 0 && i % 4 == 0)
                        buf_put_char(out, ' ');
                html_put(out, str_slice(secret, i, 1));
        }
        buf_put_c(out, "</pre>\n");
}

static void put_second_factor(struct buf *out, const struct web_page *page)
{
        buf_put_c(out, "<h2>1. One-time codes</h2>\n<p>Scan this with an authenticator app:</p>\n");
        struct error *err = qr_put_svg(out, page->url, "QR code of the key for one-time codes");
        error_free(err); /* the page also has the key as text */
        if (str_starts_with(page->url, STR("otpauth://"))) {
                buf_put_c(out, "<p><a href=\"");
                html_put(out, page->url);
                buf_put_c(out, "\">Open it in an app on this device</a>, or type this key:</p>\n");
        } else {
                buf_put_c(out, "<p>Or type this key:</p>\n");
        }
        put_secret(out, page->secret);
}

static void put_password(struct buf *out, const char *name, const char *label)
{
        buf_printf(out,
                   "<label for=\"%s\">%s</label>\n<input id=\"%s\" name=\"%s\" type=\"password\" autocomplete=\"new-password\""
                   " minlength=\"%d\" aria-describedby=\"rule\" required>\n",
                   name, label, name, name, LIMIT_PASSWORD_MIN);
}

static void put_form(struct buf *out, const struct web_page *page)
{
        buf_put_c(out, "<h2>2. Password</h2>\n<form method=\"post\">\n"
                       "<label for=\"user\">User name</label>\n"
                       "<input id=\"user\" name=\"user\" autocomplete=\"username\" readonly value=\"");
        html_put(out, page->user);
        buf_put_c(out, "\">\n");
        put_password(out, "password", "New password");
        buf_printf(out, "<p class=\"soft\" id=\"rule\">At least %d characters.</p>\n", LIMIT_PASSWORD_MIN);
        put_password(out, "again", "The same password again");
        buf_put_c(out, "<label for=\"otp\">Six digits from the app</label>\n"
                       "<input id=\"otp\" name=\"otp\" inputmode=\"numeric\" autocomplete=\"one-time-code\""
                       " pattern=\" *[0-9]{3} *[0-9]{3} *\" title=\"Six digits\" required>\n");
        buf_printf(out, "<button>%s</button>\n</form>\n", page->is_reset ? "Set the new password" : "Create the account");
}

void web_respond_invite(struct http_exchange *x, const struct web_page *page)
{
        AUTO(buf) b = BUF_MAX(WEB_PAGE_MAX);
        buf_put_c(&b, "<p class=\"soft\">");
        buf_put_c(&b, page->is_reset ? "A new password and new one-time codes for <b>" : "An account for <b>");
        html_put(&b, page->user);
        buf_put_c(&b, "</b>");
        put_cluster(&b, " in the cluster ", page->cluster);
        buf_put_c(&b, ".</p>\n");
        put_error(&b, page->error);
        put_second_factor(&b, page);
        put_form(&b, page);
        respond(x, page, page->is_reset ? "Reset your password" : "Welcome", buf_str(&b));
}

void web_respond_welcome(struct http_exchange *x, const struct web_page *page)
{
        AUTO(buf) b = BUF_MAX(WEB_PAGE_MAX);
        buf_put_c(&b, "<p>Password and one-time codes of <b>");
        html_put(&b, page->user);
        buf_put_c(&b, "</b> are set. Close this page and log in from a terminal:</p>\n");
        put_login_command(&b, page);
        buf_put_c(&b, "<p class=\"soft\">It asks for the password and the <em>next</em> code of the app:"
                      " each code is valid once.</p>\n");
        respond(x, page, "You are all set", buf_str(&b));
}

void web_respond_error(struct http_exchange *x, const struct web_page *page)
{
        AUTO(buf) b = BUF_MAX(WEB_PAGE_MAX);
        put_error(&b, page->error);
        respond(x, page, page->status == 404 ? "Nothing is here" : "This did not work", buf_str(&b));
}

/* The ID that the user can tell an administrator, who finds it in the log. */
static void put_request_id(struct buf *out, const struct error *err)
{
        uint8_t bytes[8];
        AUTO(buf) id = BUF_MAX(64);

        random_bytes(bytes, sizeof bytes);
        hex_encode(&id, str_of_bytes(bytes, sizeof bytes));
        log_info("A page was refused", LOG_STR("request_id", buf_str(&id)), LOG_ERR(err));
        html_print(out, "<p class=\"soft\">Request ID: <code>%.*s</code>. The log of the proxy has it, too.</p>\n", STR_ARG(buf_str(&id)));
}

void web_respond_failure(struct http_exchange *x, struct web_page *page, const struct error *err)
{
        AUTO(buf) b = BUF_MAX(WEB_PAGE_MAX);

        page->status = web_status_of(err);
        put_error(&b, err);
        put_request_id(&b, err);
        if (page->next != NULL)
                html_print(&b, "<p><a href=\"%s\">%s</a></p>\n", page->next, page->next_text);
        buf_put_c(&b, "<p><a href=\"/web\">To the start page</a></p>\n");
        if (!str_is_empty(page->form_token))
                html_print(&b, "<form method=\"post\" action=\"/web/logout\"><input type=\"hidden\" name=\"token\" value=\"%.*s\">"
                               "<button class=\"plain\">Log out</button></form>\n", STR_ARG(page->form_token));
        respond(x, page, page->status == 404 ? "Nothing is here" : "This did not work", buf_str(&b));
}

void web_respond_login(struct http_exchange *x, const struct web_page *page, const struct web_login_form *form)
{
        AUTO(buf) b = BUF_MAX(WEB_PAGE_MAX);

        buf_put_c(&b, "<p class=\"soft\">With the password and the one-time codes of your account");
        put_cluster(&b, " in the cluster ", page->cluster);
        buf_put_c(&b, ".</p>\n");
        put_error(&b, page->error);
        html_print(&b, "<form method=\"post\" action=\"/web/login\">\n"
                       "<input type=\"hidden\" name=\"token\" value=\"%.*s\"><input type=\"hidden\" name=\"redirect_uri\" value=\"%.*s\">\n"
                       "<label for=\"user\">User name</label>\n<input id=\"user\" name=\"user\" autocomplete=\"username\" autocapitalize=\"none\""
                       " spellcheck=\"false\" maxlength=\"%d\" required value=\"%.*s\">\n",
                   STR_ARG(form->token), STR_ARG(form->target), LIMIT_NAME, STR_ARG(page->user));
        html_print(&b, "<label for=\"password\">Password</label>\n<input id=\"password\" name=\"password\" type=\"password\""
                       " autocomplete=\"current-password\" maxlength=\"%d\" required>\n"
                       "<label for=\"otp\">Six digits from the app</label>\n<input id=\"otp\" name=\"otp\" inputmode=\"numeric\""
                       " autocomplete=\"one-time-code\" pattern=\" *[0-9]{3} *[0-9]{3} *\" title=\"Six digits\" required>\n"
                       "<button>Log in</button>\n</form>\n",
                   LIMIT_PASSWORD);
        respond(x, page, "Log in", buf_str(&b));
}
