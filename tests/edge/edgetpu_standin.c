/* Stands in for libedgetpu.so.1: a delegate that LiteRT loads, with the faults of the real one.
 *
 * It takes over each edgetpu-custom-op, whose output is then the first bytes of its input, as in the
 * tiny model of the tests, and leaves a model without one to the CPU. The declarations are as much of
 * LiteRT's tensorflow/lite/core/c/common.h as is needed.
 *
 * TPU_STANDIN says what goes wrong, TPU_STANDIN_WHEN may name a file before which it does not:
 *   nodevice  the delegate is not made, as without a stick      hangstart  nor does it come back
 *   pulled    a thread ends the process with SIGABRT            hang       a run does not come back
 *   refuse    a run fails                                       wrong      a run answers otherwise
 *   chatter   a run writes a megabyte to standard error
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { int size; int data[]; } Ints;
typedef struct { float scale; int32_t zero_point; } Steps;
typedef struct { int type; char *data; Ints *dims; Steps steps; int allocation; size_t bytes;
                 const void *allocated; const char *name; void *delegate; int handle; char flags[2];
                 struct { int type; void *params; } quantization; void *sparsity; const Ints *dims_signature;
} Tensor;
typedef struct { Ints *inputs, *outputs; } Node;
typedef struct Context Context;
typedef struct {
    void *(*init)(Context *, const char *, size_t);
    void (*free)(Context *, void *);
    int (*prepare)(Context *, Node *);
    int (*invoke)(Context *, Node *);
    const char *(*profiling)(const Context *, const Node *);
    int32_t builtin_code;
    const char *custom_name;
    int version;
#ifndef FER_EDGE_BEFORE_TF_2_12
    void *external;
    void *async_kernel;
    uint64_t inplace;
#endif
} Registration;
typedef struct Delegate {
    void *data;
    int (*prepare)(Context *, struct Delegate *);
    void *copy_from, *copy_to, *free_handle;
    int64_t flags;
    void *opaque;
} Delegate;
struct Context {
    size_t tensors_size;
    int (*plan)(Context *, Ints **);
    Tensor *tensors;
    void *impl;
    void *resize;
    void (*report)(Context *, const char *, ...);
    void *add_tensors;
    int (*node)(Context *, int, Node **, Registration **);
    int (*replace)(Context *, Registration, const Ints *, Delegate *);
};

static int wanted(const char *fault) {
    const char *set = getenv("TPU_STANDIN"), *when = getenv("TPU_STANDIN_WHEN");
    return set && !strcmp(set, fault) && (!when || !access(when, F_OK));
}

static void *pull(void *nothing) {
    while (!wanted("pulled")) usleep(2000);
    fprintf(stderr, "F driver/usb/usb_driver.cc:857] transfer on tag 2 failed. Abort.\n");
    abort();
}

static int invoke(Context *context, Node *node) {
    Tensor *in = &context->tensors[node->inputs->data[0]];
    Tensor *out = &context->tensors[node->outputs->data[0]];
    while (wanted("hang")) usleep(10000);
    if (wanted("refuse")) {
        context->report(context, "HIB Error.");
        return 1;
    }
    for (int i = 0; wanted("chatter") && i < 16384; i++)
        fprintf(stderr, "I driver/usb/usb_driver.cc:1322] something happened, number %7d\n", i);
    memcpy(out->data, in->data, out->bytes);
    if (wanted("wrong")) memset(out->data, 100, out->bytes);
    return 0;
}

static int prepare(Context *context, Delegate *delegate) {
    Ints *plan, *taken;
    if (context->plan(context, &plan)) return 1;
    taken = calloc(1, sizeof(int) * (plan->size + 1));
    for (int i = 0; i < plan->size; i++) {
        Node *node;
        Registration *registration;
        if (context->node(context, plan->data[i], &node, &registration)) return 1;
        if (registration->custom_name && !strcmp(registration->custom_name, "edgetpu-custom-op"))
            taken->data[taken->size++] = plan->data[i];
    }
    Registration ours = {.invoke = invoke, .custom_name = "standin", .version = 1};
    int bad = taken->size ? context->replace(context, ours, taken, delegate) : 0;
    free(taken);
    return bad;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                        void (*report)(const char *)) {
    while (wanted("hangstart")) usleep(10000);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%s=%s\n", keys[i], values[i]);
    if (wanted("nodevice")) {
        report("");
        return NULL;
    }
    if (getenv("TPU_STANDIN") && !strcmp(getenv("TPU_STANDIN"), "pulled")) {
        pthread_t thread;
        pthread_create(&thread, NULL, pull, NULL);
        pthread_detach(thread);
    }
    Delegate *made = calloc(1, sizeof *made);
    made->prepare = prepare;
    /* Allows dynamic tensors, as libedgetpu's does: LiteRT otherwise prepares all operations before it
     * asks the delegate, and stumbles over the one that it does not know. */
    made->flags = 1;
    return made;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
