/*
 * milterload: drives a milter over its socket as an MTA would, and prints what it measured as one JSON object.
 *
 *   milterload SOCKET CONNECTIONS MESSAGES PER_SESSION FILE
 *
 * SOCKET is unix:/path or inet:PORT@127.0.0.1. Each of CONNECTIONS threads sends MESSAGES messages, PER_SESSION
 * of them over one milter session. FILE is the message; the envelope is a logged-in teacher writing to a parent.
 * Latency is counted from the first envelope command to the final reply, in milliseconds.
 *
 * It must never: wait for a reply that the filter has declined to give (the SMFIP_NR_* flags), or send a step
 * that the filter has declined to see (SMFIP_NO*); libmilter hangs up on either.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Protocol steps as libmilter's mfdef.h numbers them. */
enum {
    NO_CONNECT = 0x1, NO_HELO = 0x2, NO_MAIL = 0x4, NO_RCPT = 0x8, NO_BODY = 0x10, NO_HEADERS = 0x20,
    NO_EOH = 0x40, NR_HEADER = 0x80, NO_DATA = 0x200, NR_CONNECT = 0x1000, NR_HELO = 0x2000, NR_MAIL = 0x4000,
    NR_RCPT = 0x8000, NR_DATA = 0x10000, NR_EOH = 0x40000, NR_BODY = 0x80000, ALL_STEPS = 0x1fffff,
};
enum { CHUNK = 65535, VERSION = 6, ALL_ACTIONS = 0x1ff };

struct header { char *name, *value; };
struct message { struct header *headers; int header_count; const char *body; size_t body_size, size; };
struct output { int fd; char *bytes; size_t used, room; };
struct sender { pthread_t thread; double *latencies; long verdicts[256]; long modifications; };

static struct message message;
static const char *socket_spec;
static int messages, per_session;

static void die(const char *what) { perror(what); exit(2); }

static void *must(void *memory) { if (!memory) die("memory"); return memory; }

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int dial(void)
{
    int unix_socket = !strncmp(socket_spec, "unix:", 5);
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *address = unix_socket ? (struct sockaddr *)&local : (struct sockaddr *)&inet;
    socklen_t size = unix_socket ? sizeof local : sizeof inet;

    if (unix_socket) snprintf(local.sun_path, sizeof local.sun_path, "%s", socket_spec + 5);
    else inet.sin_port = htons(atoi(socket_spec + 5));
    int fd = socket(address->sa_family, SOCK_STREAM, 0);
    if (fd < 0) die("socket");
    /* A full backlog refuses at once on a Unix socket: an MTA would wait a moment and try again. */
    for (int tries = 0; connect(fd, address, size); tries++) {
        if (tries == 500 || (errno != EAGAIN && errno != ECONNREFUSED)) die("connect");
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    if (!unix_socket) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static void flush_output(struct output *out)
{
    for (size_t sent = 0; sent < out->used;) {
        ssize_t n = write(out->fd, out->bytes + sent, out->used - sent);
        if (n < 0 && errno != EINTR) die("write");
        if (n > 0) sent += n;
    }
    out->used = 0;
}

static void put(struct output *out, char command, const void *data, size_t size)
{
    if (out->used + size + 5 > out->room) {
        out->room = (out->used + size + 5) * 2;
        out->bytes = must(realloc(out->bytes, out->room));
    }
    uint32_t length = htonl(size + 1);
    memcpy(out->bytes + out->used, &length, 4);
    out->bytes[out->used + 4] = command;
    memcpy(out->bytes + out->used + 5, data, size);
    out->used += size + 5;
    if (out->used > 65536) flush_output(out);
}

static int read_all(int fd, void *into, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = read(fd, (char *)into + got, size - got);
        if (n <= 0) return 0;
        got += n;
    }
    return 1;
}

/* The next reply's letter, '!' if the filter hung up; its first bytes go to data. */
static char reply(int fd, void *data, size_t room)
{
    uint32_t length;
    char letter, rest[4096];

    if (!read_all(fd, &length, 4) || !read_all(fd, &letter, 1)) return '!';
    for (size_t left = ntohl(length) - 1, kept = 0; left;) {
        size_t n = left < sizeof rest ? left : sizeof rest;
        if (!read_all(fd, rest, n)) return '!';
        size_t keep = kept + n > room ? room - kept : n;
        if (keep) memcpy((char *)data + kept, rest, keep);
        kept += keep;
        left -= n;
    }
    return letter;
}

/* The reply to one step: 0 to go on, else the letter that ended the message early. */
static char step(struct output *out, uint32_t flags, uint32_t skip, uint32_t silent, char command,
                 const void *data, size_t size)
{
    if (flags & skip) return 0;
    put(out, command, data, size);
    if (flags & silent) return 0;
    flush_output(out);
    char letter = reply(out->fd, NULL, 0);
    return letter == 'c' || letter == 's' ? 0 : letter;
}

static uint32_t negotiate(struct output *out)
{
    uint32_t offer[3] = {htonl(VERSION), htonl(ALL_ACTIONS), htonl(ALL_STEPS)}, answer[3] = {0};
    put(out, 'O', offer, sizeof offer);
    flush_output(out);
    if (reply(out->fd, answer, sizeof answer) != 'O') { fputs("no negotiation\n", stderr); exit(2); }
    return ntohl(answer[2]);
}

static void open_session(struct output *out, uint32_t flags)
{
    static const char peer[] = "client.example.org\0" "4\x10\xe1" "127.0.0.1";
    static const char connect_macros[] = "Cj\0gateway.school.example\0{daemon_port}\0" "587";
    put(out, 'D', connect_macros, sizeof connect_macros);
    step(out, flags, NO_CONNECT, NR_CONNECT, 'C', peer, sizeof peer);
    step(out, flags, NO_HELO, NR_HELO, 'H', "client.example.org", 19);
}

static char send_headers(struct output *out, uint32_t flags)
{
    char end = 0, field[70000];
    for (int i = 0; !end && i < message.header_count; i++) {
        size_t name = strlen(message.headers[i].name) + 1, value = strlen(message.headers[i].value) + 1;
        if (name + value > sizeof field) continue;
        memcpy(field, message.headers[i].name, name);
        memcpy(field + name, message.headers[i].value, value);
        end = step(out, flags, NO_HEADERS, NR_HEADER, 'L', field, name + value);
    }
    return end;
}

static char send_message(struct output *out, uint32_t flags, long *modifications)
{
    static const char macros[] = "M{auth_authen}\0alice.teacher@school.example\0{auth_type}\0PLAIN";
    static const char from[] = "<alice.teacher@school.example>", to[] = "<parent.one@mail.example>";
    static const char id[] = "Ti\0" "4QID12345z";
    char end;

    put(out, 'D', macros, sizeof macros);
    end = step(out, flags, NO_MAIL, NR_MAIL, 'M', from, sizeof from);
    if (!end) end = step(out, flags, NO_RCPT, NR_RCPT, 'R', to, sizeof to);
    if (!end) put(out, 'D', id, sizeof id);
    if (!end) end = step(out, flags, NO_DATA, NR_DATA, 'T', "", 0);
    if (!end) end = send_headers(out, flags);
    if (!end) end = step(out, flags, NO_EOH, NR_EOH, 'N', "", 0);
    for (size_t at = 0; !end && at < message.body_size; at += CHUNK) {
        size_t left = message.body_size - at;
        end = step(out, flags, NO_BODY, NR_BODY, 'B', message.body + at, left < CHUNK ? left : CHUNK);
    }
    if (end) return end;
    put(out, 'E', "", 0);
    flush_output(out);
    for (;;) {
        char letter = reply(out->fd, NULL, 0);
        if (strchr("acdrty!", letter)) return letter;
        if (letter != 'p') ++*modifications;
    }
}

static void *run(void *argument)
{
    struct sender *sender = argument;
    struct output out = {.room = 1 << 18};
    out.bytes = must(malloc(out.room));

    for (int done = 0; done < messages;) {
        out.fd = dial();
        out.used = 0;
        uint32_t flags = negotiate(&out);
        open_session(&out, flags);
        for (int i = 0; i < per_session && done < messages; i++, done++) {
            double start = now_ms();
            char letter = send_message(&out, flags, &sender->modifications);
            sender->latencies[done] = now_ms() - start;
            sender->verdicts[(unsigned char)letter]++;
            if (letter == '!') { done++; break; }
        }
        out.used = 0;
        put(&out, 'Q', "", 0);
        flush_output(&out);
        close(out.fd);
    }
    free(out.bytes);
    return NULL;
}

/* Reads FILE with bare LF made CRLF in the body; header values keep their folding with LF, as Postfix sends it. */
static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *raw = must(malloc(size + 1)), *wire = must(malloc(2 * size + 1)), *to = wire;
    if (fread(raw, 1, size, file) != (size_t)size) die(path);
    fclose(file);
    for (long i = 0; i < size; i++) {
        if (raw[i] == '\n' && (!i || raw[i - 1] != '\r')) *to++ = '\r';
        *to++ = raw[i];
    }
    *to = 0;
    free(raw);
    message.size = to - wire;
    message.headers = must(calloc(4096, sizeof *message.headers));
    char *line = wire;
    while (line < to && strncmp(line, "\r\n", 2) && message.header_count < 4096) {
        char *end = strstr(line, "\r\n");
        while (end && (end[2] == ' ' || end[2] == '\t')) end = strstr(end + 2, "\r\n");
        if (!end) break;
        char *field = strndup(line, end - line), *colon = strchr(field, ':');
        if (colon) {
            *colon = 0;
            char *from = colon + 1, *keep = from;
            for (char *c = from; *c; c++) if (*c != '\r') *keep++ = *c;
            *keep = 0;
            message.headers[message.header_count++] = (struct header){field, from};
        }
        line = end + 2;
    }
    message.body = line + 2 < to ? line + 2 : to;
    message.body_size = to - message.body;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 6) { fputs("usage: milterload SOCKET CONNECTIONS MESSAGES PER_SESSION FILE\n", stderr); return 2; }
    socket_spec = argv[1];
    int connections = atoi(argv[2]);
    messages = atoi(argv[3]);
    per_session = atoi(argv[4]);
    if (connections < 1 || messages < 1 || per_session < 1) { fputs("counts must be positive\n", stderr); return 2; }
    load(argv[5]);

    long total = (long)connections * messages, verdicts[256] = {0}, modifications = 0;
    double *latencies = must(calloc(total, sizeof *latencies));
    struct sender *senders = must(calloc(connections, sizeof *senders));
    double start = now_ms();
    for (int i = 0; i < connections; i++) {
        senders[i].latencies = latencies + (long)i * messages;
        if (pthread_create(&senders[i].thread, NULL, run, &senders[i])) die("thread");
    }
    for (int i = 0; i < connections; i++) {
        pthread_join(senders[i].thread, NULL);
        modifications += senders[i].modifications;
        for (int v = 0; v < 256; v++) verdicts[v] += senders[i].verdicts[v];
    }
    double seconds = (now_ms() - start) / 1e3;
    qsort(latencies, total, sizeof *latencies, by_value);
    printf("{\"messages\": %ld, \"seconds\": %.4f, \"per_second\": %.1f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"max_ms\": %.3f, \"modifications\": %ld, \"verdicts\": {",
           total, seconds, total / seconds, latencies[total / 2], latencies[(long)(total * 0.99)],
           latencies[total - 1], modifications);
    const char *comma = "";
    for (int v = 0; v < 256; v++) if (verdicts[v]) { printf("%s\"%c\": %ld", comma, v, verdicts[v]); comma = ", "; }
    puts("}}");
    return verdicts['!'] || verdicts['t'] ? 1 : 0;
}
