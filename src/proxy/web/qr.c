/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/qr.h"

#include <errno.h>
#include <qrencode.h>

#include "base/library.h"

enum { QUIET = 4 }; /* modules around the code (ISO/IEC 18004 section 5.3.8) */

/* Loaded once per process, so it is global. */
static struct qrencode_api {
        __typeof__(QRcode_encodeData) *encode_data;
        __typeof__(QRcode_free) *free;
} qrencode;

static const struct library_function functions[] = {
        { "QRcode_encodeData", offsetof(struct qrencode_api, encode_data) },
        { "QRcode_free", offsetof(struct qrencode_api, free) },
};

static const struct library libqrencode = {
        .file = "libqrencode.so.4",
        .package = "libqrencode4",
        .functions = functions,
        .function_count = ARRAY_LEN(functions),
};

struct error *qr_load(void)
{
        return qrencode.encode_data != NULL ? NULL : library_load(&libqrencode, &qrencode);
}

static bool is_dark(const QRcode *code, int x, int y)
{
        return x < code->width && (code->data[y * code->width + x] & 1) != 0;
}

/* Each run of dark modules in a row becomes one rectangle of the path. */
static void put_modules(struct buf *out, const QRcode *code)
{
        for (int y = 0; y < code->width; y++) {
                for (int x = 0; x < code->width; x++) {
                        int from = x;
                        while (is_dark(code, x, y))
                                x++;
                        if (x > from)
                                buf_printf(out, "M%d %dh%dv1h-%dz", from + QUIET, y + QUIET, x - from, x - from);
                }
        }
}

struct error *qr_put_svg(struct buf *out, struct str text, const char *label)
{
        if (text.len == 0 || text.len > QR_TEXT_MAX)
                return error_new(ERROR_INVALID_ARGUMENT, "a QR code holds 1 to %d bytes, not %zu", QR_TEXT_MAX, text.len);
        TRY(qr_load());
        QRcode *code = qrencode.encode_data((int)text.len, str_bytes(text), 0, QR_ECLEVEL_M);
        if (code == NULL)
                return error_errno(errno, "cannot make a QR code");
        int side = code->width + 2 * QUIET;
        buf_printf(out,
                   "<svg class=\"qr\" role=\"img\" aria-label=\"%s\" viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\">"
                   "<path fill=\"#fff\" d=\"M0 0h%dv%dh-%dz\"/><path fill=\"#000\" d=\"",
                   label, side, side, side, side, side);
        put_modules(out, code);
        buf_put_c(out, "\"/></svg>\n");
        qrencode.free(code);
        return NULL;
}
